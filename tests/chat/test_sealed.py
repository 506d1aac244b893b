"""With SEAL_KEYS no word is in the clear in the general database, and all that is said is read."""

from __future__ import annotations

from base64 import b64encode
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.config.settings import Settings
from tests.support.factories import World
from tests.support.logins import superuser
from tests.support.sealed import MARK, SESSIONS, asked, found
from tests.support.servers import Servers, settings_for

CONVERSATIONS = "/v1/conversations"
KEY = f"one:{b64encode(bytes(32)).decode()}"


@pytest.fixture
def settings(servers: Servers, database: str) -> Settings:
    return settings_for(servers, database, seal_keys=KEY)


async def test_no_word_is_in_the_clear_after_any_kind_of_write(
    world: World, general: asyncpg.Connection[Any]
) -> None:
    alice = await world.someone("\\acme\\alice")
    keyed = {"headers": {"Idempotency-Key": "a key"}}
    pairs = {"of": MARK}
    new = {"title": f"On {MARK}", "metadata": pairs}
    session = await asked(alice, "POST", SESSIONS, new, **keyed)
    assert await asked(alice, "POST", SESSIONS, new, **keyed) == session
    path = f"{SESSIONS}/{session['id']}"
    text = {"role": "user", "content": f"A {MARK} flies", "metadata": pairs}
    parts = text | {"content": [{"type": "text", "text": f"{MARK}\0"}], "client_id": "one"}
    first = await asked(alice, "POST", f"{path}/messages", text)
    keyed = {"headers": {"Idempotency-Key": "another"}}
    second = await asked(alice, "POST", f"{path}/messages", parts, **keyed)
    assert await asked(alice, "POST", f"{path}/messages", parts, **keyed) == second
    assert await asked(alice, "POST", f"{path}/messages", parts) == second
    long = text | {"content": MARK * 500}
    batch = await asked(alice, "POST", f"{path}/messages/batch", {"messages": [long, parts]})
    assert batch["items"][1] == second
    edit = {"content": f"{MARK} again"}
    edited = await asked(alice, "PATCH", f"{path}/messages/1", edit)
    assert edited == first | edit | {"updated_at": edited["updated_at"]}
    edited = await asked(alice, "PATCH", f"{path}/messages/1", {"metadata": pairs | {"b": MARK}})
    assert edited["content"] == edit["content"]
    assert (await asked(alice, "PATCH", f"{path}/messages/1", {"status": "incomplete"}))[
        "metadata"
    ] == pairs | {"b": MARK}
    changed = await asked(alice, "PATCH", path, {"title": MARK})
    assert (changed["title"], changed["metadata"]) == (MARK, pairs)
    changed = await asked(alice, "PATCH", path, {"metadata": {"now": MARK}})
    assert (changed["title"], changed["metadata"]) == (MARK, {"now": MARK})
    fork = await asked(alice, "POST", f"{path}/fork")
    assert (fork["title"], fork["message_count"]) == (MARK, 3)
    told = await asked(alice, "GET", f"{path}/messages")
    copied = await asked(alice, "GET", f"{SESSIONS}/{fork['id']}/messages")
    assert [one["content"] for one in told["items"]] == [one["content"] for one in copied["items"]]
    item = {"role": "user", "content": MARK, "more": MARK}
    body = {"items": [item], "metadata": pairs}
    conversation = await asked(alice, "POST", CONVERSATIONS, body)
    items = f"{CONVERSATIONS}/{conversation['id']}/items"
    await asked(alice, "POST", items, {"items": [{"type": "web", "id": "ws_1", "q": MARK}, item]})
    listed = await asked(alice, "GET", items)
    assert [one.get("q") or one["more"] for one in listed["data"]] == [MARK] * 3
    assert (await asked(alice, "GET", f"{items}/ws_1"))["q"] == MARK
    named = await asked(alice, "PUT", f"{SESSIONS}/by-external-id/mine", {"title": MARK})
    again = await asked(alice, "PUT", f"{SESSIONS}/by-external-id/mine", {"title": "Other"})
    assert (named["title"], again) == (MARK, named)
    page = await asked(alice, "GET", SESSIONS, params={"metadata.of": MARK})
    assert [one["metadata"] for one in page["items"]] == [pairs]
    lines = (await alice.http.get("/v1/me/export")).text.splitlines()
    assert sum(MARK in line for line in lines) == 4 + 3 + 3 + 3
    assert await found(general, MARK) == []
    assert await found(general, "mine") == ["chat_sessions.external_id"]


async def test_a_swapped_or_changed_row_is_unreadable_and_the_rest_is_served(
    world: World, general: asyncpg.Connection[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    alice, bob = await world.someone("\\acme\\alice"), await world.someone("\\other\\bob")
    path = f"{SESSIONS}/{(await asked(alice, 'POST', SESSIONS, {'title': 'One'}))['id']}"
    other = f"{SESSIONS}/{(await asked(bob, 'POST', SESSIONS))['id']}"
    said = {"messages": [{"role": "user", "content": f"{MARK} {n}"} for n in range(4)]}
    mine = (await asked(alice, "POST", f"{path}/messages/batch", said))["items"]
    theirs = (await asked(bob, "POST", f"{other}/messages/batch", said))["items"]
    swap = "UPDATE messages SET sealed = (SELECT sealed FROM messages WHERE id = $2) WHERE id = $1"
    await general.execute(swap, UUID(mine[0]["id"]), UUID(mine[1]["id"]))
    await general.execute(swap, UUID(mine[2]["id"]), UUID(theirs[2]["id"]))
    flip = "UPDATE {} SET sealed = set_byte(sealed, 20, get_byte(sealed, 20) # 1) WHERE id = $1"
    await general.execute(flip.format("messages"), UUID(mine[3]["id"]))
    page = await asked(alice, "GET", f"{path}/messages", params={"order": "asc"})
    assert [one["content"] for one in page["items"]] == [None, f"{MARK} 1", None, None]
    assert [one["metadata"] for one in page["items"]] == [None, {}, None, None]
    assert [one.get("unreadable") for one in page["items"]] == [True, None, True, True]
    lines = [one for one in capsys.readouterr().err.splitlines() if '"unreadable"' in one]
    assert len(lines) == 3
    assert mine[0]["id"] in lines[0]
    conversation = f"conv_{UUID(mine[0]['session_id']).hex}"
    items = await asked(alice, "GET", f"{CONVERSATIONS}/{conversation}/items?order=asc")
    assert [one["content"] == [] for one in items["data"]] == [True, False, True, True]
    assert [one["status"] == "incomplete" for one in items["data"]] == [True, False, True, True]
    exported = (await alice.http.get("/v1/me/export")).text
    assert exported.count('"content":null,"metadata":null') == 3
    answer = await alice.http.patch(f"{path}/messages/1", json={"content": "New"})
    assert answer.status_code == 409
    whole: dict[str, Any] = {"content": "New", "metadata": {}}
    assert (await asked(alice, "PATCH", f"{path}/messages/1", whole))["content"] == "New"
    assert (await alice.http.post(f"{path}/fork", json={"position": 4})).status_code == 409
    await general.execute(flip.format("chat_sessions"), UUID(mine[0]["session_id"]))
    session = await asked(alice, "GET", path)
    assert (session["title"], session["metadata"], session["unreadable"]) == (None, None, True)
    assert (await alice.http.patch(path, json={"title": "New"})).status_code == 409
    new = {"title": "New", "metadata": {"a": "b"}}
    assert (await asked(alice, "PATCH", path, new))["title"] == "New"


async def test_another_key_than_the_owners_is_refused(
    world: World, general: asyncpg.Connection[Any]
) -> None:
    alice = await world.someone("\\acme\\alice")
    session = await asked(alice, "POST", SESSIONS)
    owner = await general.fetchrow("SELECT key_id FROM owners")
    assert owner is not None
    assert owner["key_id"] is not None
    for other in ("gen_random_uuid()", "NULL"):
        with pytest.raises(asyncpg.PostgresError) as refused:
            await general.execute(f"UPDATE owners SET key_id = {other}")
        assert refused.value.sqlstate == "BC041"
    await general.execute("ALTER TABLE owners DISABLE TRIGGER keep_owner_key")
    await general.execute("UPDATE owners SET key_id = gen_random_uuid()")
    path = f"{SESSIONS}/{session['id']}/messages"
    answer = await alice.http.post(path, json={"role": "user", "content": "Hello"})
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
    assert await general.fetchval("SELECT count(*) FROM messages") == 0


async def test_what_was_sealed_is_read_and_edited_after_sealing_has_ended(
    world: World, servers: Servers, database: str
) -> None:
    alice = await world.member()
    path = f"{SESSIONS}/{(await asked(alice, 'POST', SESSIONS, {'title': MARK}))['id']}"
    sent = {"role": "user", "content": MARK}
    await asked(alice, "POST", f"{path}/messages", sent)
    async with superuser(servers.user.url(database)) as user:
        await user.execute("UPDATE sealing SET is_on = false")
    pairs = {"metadata": {"of": MARK}}
    edited = await asked(alice, "PATCH", f"{path}/messages/1", pairs)
    assert edited == edited | sent | pairs
    assert (await asked(alice, "PATCH", path, pairs))["title"] == MARK
