"""A client finds its conversation by an id of its own, or opens it: as often as it likes."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import httpx
import pytest

from tests.support.factories import Someone, World, a_message, a_session
from tests.support.locks import lock_rows, until_waiting
from tests.support.logins import superuser
from tests.support.servers import Servers

SESSIONS = "/v1/chat-sessions"
AT_ONCE = 50


async def put(someone: Someone, external_id: str, body: object = None) -> httpx.Response:
    url = f"{SESSIONS}/by-external-id/{quote(external_id, safe='')}"
    return await someone.http.put(url, json=body)


@pytest.mark.parametrize(
    "external_id", ["thread-4711", "a/b", "/", "%2F", "a%", "...", "-", "!~", "x" * 255, "?&=#+"]
)
async def test_it_is_opened_once_and_then_found(world: World, external_id: str) -> None:
    alice = await world.member()
    opened = await put(alice, external_id, {"title": "Norway", "metadata": {"a": "b"}})
    assert opened.status_code == 201, opened.text
    session = opened.json()
    assert (session["external_id"], session["title"]) == (external_id, "Norway")
    assert session["metadata"] == {"a": "b"}
    found = await put(alice, external_id, {"title": "Other", "metadata": {}})
    assert (found.status_code, found.json()) == (200, session)
    assert found.headers["etag"] == opened.headers["etag"]
    listed = await alice.http.get(SESSIONS, params={"external_id": external_id})
    assert listed.json() == {"items": [session], "next": None}


@pytest.mark.parametrize("bad", [".", "..", "a b", "é", "x" * 256, "a\n"])
async def test_what_is_no_external_id_is_refused(world: World, bad: str) -> None:
    alice = await world.member()
    url = f"{SESSIONS}/by-external-id/" + "".join(f"%{one:02X}" for one in bad.encode())
    answer = await alice.http.put(url)
    assert answer.status_code in ((422,) if bad.strip(".") else (404, 405, 422)), answer.text
    assert (await alice.http.get(SESSIONS)).json()["items"] == []


async def test_of_fifty_at_once_one_opens_it(world: World) -> None:
    alice, bob = await world.member(), await world.member()
    answers = await asyncio.gather(*(put(alice, "thread") for _ in range(AT_ONCE)))
    assert sorted(one.status_code for one in answers) == [200] * (AT_ONCE - 1) + [201]
    assert len({one.json()["id"] for one in answers}) == 1
    assert len((await alice.http.get(SESSIONS)).json()["items"]) == 1
    assert (await put(bob, "thread")).status_code == 201  # each owner's ids are their own


async def test_who_waited_while_another_opened_it_finds_it(
    world: World, servers: Servers, database: str
) -> None:
    """All have looked for it in vain before the first one opens it."""
    alice = await world.member()
    await a_session(alice)
    async with superuser(servers.general.url(database)) as general:
        async with general.transaction():
            await lock_rows(general, "owners")
            late = [asyncio.create_task(put(alice, "thread")) for _ in range(3)]
            await until_waiting(general, 3)
        answers = await asyncio.gather(*late)
    assert sorted(one.status_code for one in answers) == [200, 200, 201]
    assert len({one.json()["id"] for one in answers}) == 1


async def test_it_is_found_as_it_is_by_now_and_opened_anew_once_deleted(world: World) -> None:
    alice = await world.member()
    session = (await put(alice, "thread", {"title": "First"})).json()
    url = f"{SESSIONS}/{session['id']}"
    await a_message(alice, session["id"])
    changed = await alice.http.patch(url, json={"title": "Second"})
    found = await put(alice, "thread", {"expires_at": "2020-01-01T00:00:00Z"})
    assert (found.status_code, found.json()) == (200, changed.json())
    assert found.headers["etag"] == changed.headers["etag"]
    assert (await alice.http.delete(url)).status_code == 204
    again = await put(alice, "thread")
    assert again.status_code == 201
    assert (again.json()["id"] != session["id"], again.json()["message_count"]) == (True, 0)
    await alice.http.patch(f"{SESSIONS}/{again.json()['id']}", json={"external_id": None})
    assert (await put(alice, "thread")).status_code == 201


async def test_while_it_is_deleted_again_and_again_everybody_gets_one(world: World) -> None:
    alice = await world.member()

    async def put_and_delete() -> int:
        answer = await put(alice, "thread")
        await alice.http.delete(f"{SESSIONS}/{answer.json()['id']}")
        return answer.status_code

    statuses = await asyncio.gather(*(put_and_delete() for _ in range(AT_ONCE)))
    assert set(statuses) <= {200, 201}
    assert (await alice.http.get(SESSIONS)).json()["items"] == []
