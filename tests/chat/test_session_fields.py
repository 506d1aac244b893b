"""A conversation has a title, metadata, an id of the client's own and a time to expire."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from app.chat.etags import HEADER, etag
from tests.support.api_keys import a_backend
from tests.support.factories import Someone, World, a_message, a_session
from tests.support.locks import lock_rows, until_waiting
from tests.support.logins import superuser
from tests.support.servers import Servers

SESSIONS = "/v1/chat-sessions"
LATER = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
PAST = "2020-01-01T00:00:00Z"
FIELDS: dict[str, Any] = {
    "title": "Norway",
    "metadata": {"topic": "travel", "näme": "\x00", "a": ""},
    "external_id": "thread/4711%2F",
    "expires_at": LATER,
}


async def changed(someone: Someone, session_id: str, **body: Any) -> httpx.Response:
    headers = {HEADER: body.pop("if_match")} if "if_match" in body else {}
    url = f"{SESSIONS}/{session_id}"
    return await someone.http.patch(url, json=body, headers=headers)


async def test_a_session_is_opened_with_all_that_is_kept_with_it(world: World) -> None:
    alice = await world.member()
    opened = await alice.http.post(SESSIONS, json=FIELDS)
    assert opened.status_code == 201, opened.text
    session = opened.json()
    assert session == FIELDS | {
        "id": session["id"],
        "message_count": 0,
        "last_position": 0,
        "created_by": None,
        "forked_from": None,
        "created_at": session["created_at"],
        "updated_at": session["created_at"],
    }
    assert list(session["metadata"]) == list(FIELDS["metadata"])
    read = await alice.http.get(f"{SESSIONS}/{session['id']}")
    assert read.json() == session
    assert read.headers["etag"] == opened.headers["etag"]
    assert (await alice.http.get(SESSIONS)).json()["items"] == [session]
    bare = await a_session(alice)
    assert (bare["metadata"], bare["external_id"], bare["expires_at"]) == ({}, None, None)


async def test_an_export_has_all_that_is_kept_with_a_session(world: World) -> None:
    alice = await world.member()
    session = (await alice.http.post(SESSIONS, json=FIELDS)).json()
    fork = (await alice.http.post(f"{SESSIONS}/{session['id']}/fork")).json()
    lines = (await alice.http.get("/v1/me/export")).text.splitlines()
    exported = [one for one in map(json.loads, lines) if one["type"] == "chat_session"]
    assert exported == [{"type": "chat_session", **one} for one in (session, fork)]


async def test_what_is_not_sent_stays_and_null_takes_away(world: World) -> None:
    alice = await world.member()
    session = (await alice.http.post(SESSIONS, json=FIELDS)).json()
    for name, value, becomes in (
        ("title", "Second", "Second"),
        ("metadata", {"b": "c"}, {"b": "c"}),
        ("metadata", {}, {}),
        ("metadata", {"d": "e"}, {"d": "e"}),
        ("metadata", None, {}),
        ("external_id", "other", "other"),
        ("external_id", None, None),
        ("expires_at", None, None),
    ):
        before, answer = session, await changed(alice, session["id"], **{name: value})
        assert answer.status_code == 200, answer.text
        session = answer.json()
        assert session == before | {name: becomes, "updated_at": session["updated_at"]}
        assert session["updated_at"] > before["updated_at"]
        assert (await alice.http.get(f"{SESSIONS}/{session['id']}")).json() == session


async def test_a_change_of_nothing_changes_nothing(world: World) -> None:
    alice = await world.member()
    session = await a_session(alice)
    answer = await changed(alice, session["id"])
    assert (answer.status_code, answer.json()) == (200, session)
    assert answer.headers["etag"] == (await changed(alice, session["id"])).headers["etag"]
    assert (await changed(alice, str(uuid4()))).status_code == 404


@pytest.mark.parametrize(
    ("bad", "path"),
    [
        ({"metadata": {"k": 1}}, "metadata[...]"),
        ({"metadata": {"k" * 65: ""}}, "metadata"),
        ({"external_id": "."}, "external_id"),
        ({"external_id": ".."}, "external_id"),
        ({"external_id": ""}, "external_id"),
        ({"external_id": "a b"}, "external_id"),
        ({"external_id": "é"}, "external_id"),
        ({"external_id": "x" * 256}, "external_id"),
        ({"external_id": "x\n"}, "external_id"),
        ({"expires_at": PAST}, "expires_at"),
        ({"expires_at": "2030-01-01T00:00:00"}, "expires_at"),
        ({"created_by": None}, "created_by"),
    ],
)
async def test_what_cannot_be_kept_is_refused_in_words(
    world: World, bad: dict[str, Any], path: str
) -> None:
    alice = await world.member()
    session = await a_session(alice)
    named = {name: value for name, value in bad.items() if name != "external_id"}
    answers = [
        await alice.http.post(SESSIONS, json=bad),
        await changed(alice, session["id"], **bad),
        *([await alice.http.put(f"{SESSIONS}/by-external-id/x", json=named)] if named else []),
    ]
    for answer in answers:
        assert answer.status_code == 422, answer.text
        (error,) = answer.json()["errors"]
        assert error["path"] == path
        assert "`" not in error["message"]
    assert (await alice.http.get(SESSIONS)).json()["items"] == [session]


async def test_an_external_id_is_one_sessions_of_its_owner(world: World) -> None:
    alice, bob = await world.member(), await world.member()
    body = {"external_id": "thread"}
    for owner in (alice, bob):
        assert (await owner.http.post(SESSIONS, json=body)).status_code == 201
    other = await a_session(alice)
    for taken in (
        await alice.http.post(SESSIONS, json=body),
        await changed(alice, other["id"], **body),
    ):
        assert taken.status_code == 409
        assert "external id" in taken.json()["detail"]


async def test_every_change_has_a_tag_of_its_own_and_may_name_the_last_one(world: World) -> None:
    alice = await world.member()
    session = await a_session(alice)
    url = f"{SESSIONS}/{session['id']}"
    first = (await alice.http.get(url)).headers["etag"]
    answer = await changed(alice, session["id"], title="Second", if_match=first)
    assert answer.status_code == 200
    second = answer.headers["etag"]
    assert second != first
    for stale in (first, '"another"'):
        late = await changed(alice, session["id"], title="Third", if_match=stale)
        assert (late.status_code, late.headers["etag"]) == (412, second)
        late = await alice.http.delete(url, headers={HEADER: stale})
        assert (late.status_code, late.headers["etag"]) == (412, second)
    assert (await changed(alice, session["id"], if_match=f"{first}, {second}")).status_code == 400
    assert (await alice.http.get(url)).json() == answer.json()
    for good in (f"W/{second}", "*"):
        assert (await changed(alice, session["id"], if_match=good)).headers["etag"] == second
    await a_message(alice, session["id"])
    third = (await alice.http.get(url)).headers["etag"]
    assert third not in (first, second)
    assert (await alice.http.delete(url, headers={HEADER: second})).status_code == 412
    assert (await alice.http.delete(url, headers={HEADER: third})).status_code == 204
    assert (await alice.http.delete(url, headers={HEADER: third})).status_code == 404
    assert (await changed(alice, session["id"], title="x", if_match="*")).status_code == 404


async def test_of_many_who_change_the_same_state_one_wins(
    world: World, servers: Servers, database: str
) -> None:
    """All of them wait for the session before the first one changes it."""
    alice = await world.member()
    session = await a_session(alice)
    tag = etag(0, datetime.fromisoformat(session["updated_at"]))
    async with superuser(servers.general.url(database)) as general:
        async with general.transaction():
            await lock_rows(general, "chat_sessions")
            sent = (changed(alice, session["id"], title=title, if_match=tag) for title in "abc")
            late = [asyncio.create_task(one) for one in sent]
            await until_waiting(general, 3)
        answers = await asyncio.gather(*late)
    assert sorted(one.status_code for one in answers) == [200, 412, 412]
    (winner,) = [one for one in answers if one.status_code == 200]
    assert (await alice.http.get(f"{SESSIONS}/{session['id']}")).json() == winner.json()


async def test_what_an_api_key_opens_says_so(world: World) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    backend = await a_backend(world, boss)
    http = backend.acting_for(alice.id)
    opened = (await http.post(SESSIONS, json={})).json()
    named = (await http.put(f"{SESSIONS}/by-external-id/thread")).json()
    forked = (await alice.http.post(f"{SESSIONS}/{opened['id']}/fork")).json()
    again = (await http.post(f"{SESSIONS}/{forked['id']}/fork")).json()
    made_by = [one["created_by"] for one in (opened, named, forked, again)]
    assert made_by == [str(backend.id), str(backend.id), None, str(backend.id)]


async def test_a_change_raises_version_and_minute(
    world: World, servers: Servers, database: str
) -> None:
    """Recent order goes by the minute, and tags by the version."""
    alice = await world.member()
    session = await a_session(alice)
    general = await asyncpg.connect(servers.general.url(database))
    before = "UPDATE chat_sessions SET changed_minute = '2020-01-01', updated_at = '2020-01-01'"
    await general.execute(before)
    assert (await changed(alice, session["id"], metadata={"a": "b"})).status_code == 200
    row = await general.fetchrow(
        "SELECT version, changed_minute = date_trunc('minute', updated_at) AS is_true,"
        " now() - updated_at < interval '1 minute' AS is_new FROM chat_sessions WHERE id = $1",
        UUID(session["id"]),
    )
    await general.close()
    assert row is not None
    assert tuple(row) == (1, True, True)
