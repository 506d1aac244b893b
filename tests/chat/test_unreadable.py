"""Rows that cannot be opened are shown so, may be replaced, and are as before once mended."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.config.settings import Settings
from tests.support.factories import Someone, World
from tests.support.sealed import MARK, SESSIONS, asked
from tests.support.sealing import master_keys
from tests.support.servers import Servers, settings_for

FLIP = "UPDATE {} SET sealed = set_byte(sealed, 20, get_byte(sealed, 20) # 1) WHERE id = $1"
OF_EACH = {"date", "x-request-id"}  # headers of one answer


@pytest.fixture
def settings(servers: Servers, database: str) -> Settings:
    return settings_for(servers, database, seal_keys=master_keys("a"))


async def a_talk(someone: Someone) -> tuple[str, list[dict[str, Any]]]:
    """Make a session with three messages; give its path, and them."""
    new = {"title": MARK, "metadata": {"of": MARK}, "external_id": "mine"}
    path = f"{SESSIONS}/{(await asked(someone, 'POST', SESSIONS, new))['id']}"
    said = [{"role": "user", "content": f"{MARK} {n}", "client_id": f"c{n}"} for n in range(3)]
    batch = await asked(someone, "POST", f"{path}/messages/batch", {"messages": said})
    return path, batch["items"]


async def test_no_client_is_kept_at_the_unreadable_form(
    world: World, general: asyncpg.Connection[Any]
) -> None:
    """The tag names a state of the conversation, so no answer is 304 because of it."""
    alice = await world.member()
    path, messages = await a_talk(alice)
    session = UUID(messages[1]["session_id"])
    wire = f"/v1/conversations/conv_{session.hex}"
    item = f"{wire}/items/msg_{UUID(messages[1]['id']).hex}"
    paths = [path, f"{path}/messages", f"{path}/messages/2", SESSIONS, "/v1/me/export"]
    paths += [wire, f"{wire}/items", item]
    whole = {one: await alice.http.get(one) for one in paths}

    for flip in (FLIP.format("messages"), FLIP.format("chat_sessions")):
        await general.execute(flip, UUID(messages[1]["id"]) if "messages" in flip else session)
    for one in paths:
        get, head = await alice.http.get(one), await alice.http.head(one)
        assert get.status_code == head.status_code == 200, one
        assert head.content == b""
        given = [{n: v for n, v in a.headers.items() if n not in OF_EACH} for a in (get, head)]
        assert given[0] == given[1], one
        assert MARK not in get.text or one != item
        assert get.content != whole[one].content, one
        assert get.headers["cache-control"] == "no-store"
        assert get.headers.get("etag") == whole[one].headers.get("etag")

    for flip in (FLIP.format("messages"), FLIP.format("chat_sessions")):
        await general.execute(flip, UUID(messages[1]["id"]) if "messages" in flip else session)
    for one in paths:
        seen = {"If-None-Match": whole[one].headers.get("etag", "*")}
        again = await alice.http.get(one, headers=seen)
        assert (again.status_code, again.content) == (200, whole[one].content), one


async def test_an_unreadable_message_is_replaced_or_deleted_and_never_copied(
    world: World, general: asyncpg.Connection[Any]
) -> None:
    alice = await world.member()
    path, messages = await a_talk(alice)
    await general.execute(FLIP.format("messages"), UUID(messages[1]["id"]))
    second = f"{path}/messages/2"

    assert (await alice.http.post(f"{path}/fork")).status_code == 409
    before = await asked(alice, "POST", f"{path}/fork", {"position": 1})
    assert before["message_count"] == 1
    sent = {"role": "user", "content": f"{MARK} 1", "client_id": "c1"}
    again = await alice.http.post(f"{path}/messages", json=sent)
    assert (again.status_code, again.json()["unreadable"]) == (200, True)
    other = await alice.http.post(f"{path}/messages", json=sent | {"content": "other"})
    assert other.status_code == 409
    status = await asked(alice, "PATCH", second, {"status": "incomplete"})
    assert (status["status"], status["content"], status["unreadable"]) == ("incomplete", None, True)
    halves: list[dict[str, Any]] = [{"content": "New"}, {"metadata": {}}]
    for kept in halves:
        assert (await alice.http.patch(second, json=kept)).status_code == 409
    new = {"content": "New", "metadata": {"a": "b"}}
    mended = await asked(alice, "PATCH", second, new)
    assert (mended["content"], mended["metadata"]) == ("New", {"a": "b"})
    assert "unreadable" not in mended
    assert (await asked(alice, "POST", f"{path}/fork"))["message_count"] == 3
    await general.execute(FLIP.format("messages"), UUID(messages[2]["id"]))
    assert (await alice.http.delete(f"{path}/messages/3")).status_code == 204
    page = await asked(alice, "GET", f"{path}/messages?order=asc")
    assert [one["content"] for one in page["items"]] == [f"{MARK} 0", "New"]


async def test_a_session_that_cannot_be_read_is_listed_and_found_by_no_pair(
    world: World, general: asyncpg.Connection[Any]
) -> None:
    alice = await world.member()
    path, messages = await a_talk(alice)
    session = messages[0]["session_id"]
    readable = await asked(alice, "POST", SESSIONS, {"metadata": {"of": MARK}})
    await general.execute(FLIP.format("chat_sessions"), UUID(session))

    page = await asked(alice, "GET", SESSIONS)
    shown = {one["id"]: one for one in page["items"]}
    assert (shown[session]["title"], shown[session]["metadata"]) == (None, None)
    assert (shown[session]["unreadable"], "unreadable" in shown[readable["id"]]) == (True, False)
    pair = {"metadata.of": MARK}
    found = await asked(alice, "GET", SESSIONS, params=pair)
    assert [one["id"] for one in found["items"]] == [readable["id"]]
    ids = list[str]()
    following: dict[str, str] = {}
    for _ in range(3):
        page = await asked(alice, "GET", SESSIONS, params=pair | {"limit": "1"} | following)
        ids += [one["id"] for one in page["items"]]
        following = {"after": page["next"] or ""}
        if page["next"] is None:
            break
    assert ids == [readable["id"]]
    named = await alice.http.put(f"{SESSIONS}/by-external-id/mine", json={"title": "Other"})
    assert (named.status_code, named.json()["unreadable"]) == (200, True)
    said = await asked(alice, "GET", f"{path}/messages")
    assert len([one for one in said["items"] if MARK in one["content"]]) == 3
    assert (await alice.http.post(f"{path}/fork")).status_code == 409
    for kept in ({"title": "New"}, {"metadata": {"a": "b"}}):
        assert (await alice.http.patch(path, json=kept)).status_code == 409
    new = {"title": "New", "metadata": {"a": "b"}}
    mended = await asked(alice, "PATCH", path, new)
    assert {name: mended[name] for name in new} == new
    assert "unreadable" not in mended
    page = await asked(alice, "GET", SESSIONS, params={"metadata.a": "b"})
    assert [one["id"] for one in page["items"]] == [session]
