"""A cursor goes on in the list that gave it out, and is refused by every other."""

from __future__ import annotations

import httpx

from app.http.paging import OTHER_LIST, cursor_of
from tests.support.factories import Someone, World, a_message, a_session


async def following(client: httpx.AsyncClient, path: str) -> str:
    separator = "&" if "?" in path else "?"
    page = (await client.get(f"{path}{separator}limit=1")).json()
    assert isinstance(page["next"], str), path
    return page["next"]


async def is_refused(client: httpx.AsyncClient, path: str, cursor: str) -> bool:
    separator = "&" if "?" in path else "?"
    answer = await client.get(f"{path}{separator}after={cursor}")
    if answer.status_code != 422:
        assert answer.status_code == 200, answer.text
        return False
    [error] = answer.json()["errors"]
    return error["path"] == "after"


async def message_lists(alice: Someone) -> list[str]:
    """Return the lists of two conversations, each in both orders, all with a second page."""
    lists = list[str]()
    for _ in range(2):
        session = await a_session(alice)
        for _ in range(2):
            await a_message(alice, session["id"])
        path = f"/v1/chat-sessions/{session['id']}/messages"
        lists += [f"{path}?order=asc", f"{path}?order=desc"]
    return lists


async def test_a_cursor_of_another_conversation_or_order_is_refused(world: World) -> None:
    alice = await world.member()
    lists = [*await message_lists(alice), "/v1/chat-sessions"]
    for source in lists:
        cursor = await following(alice.http, source)
        refused = {path for path in lists if await is_refused(alice.http, path, cursor)}
        assert refused == set(lists) - {source}


async def test_a_cursor_of_another_list_filter_or_person_is_refused(world: World) -> None:
    boss, root, alice = await world.tenant_admin(), await world.admin(), await world.member()
    erased = [await world.member() for _ in range(2)]
    for one in erased:
        assert (await boss.http.delete(f"/v1/users/{one.id}")).status_code == 202
    for who in (boss, root, alice):
        for _ in range(2):
            await a_session(who)
    own = f"/v1/erasures?tenant_id={boss.tenant_id}"
    lists = [(boss, "/v1/users"), (boss, "/v1/erasures"), (boss, own), (boss, "/v1/chat-sessions")]
    lists += [(root, "/v1/users"), (root, "/v1/erasures"), (root, own), (root, "/v1/tenants")]
    lists += [(root, "/v1/chat-sessions"), (alice, "/v1/chat-sessions")]
    for index, (source, from_path) in enumerate(lists):
        cursor = await following(source.http, from_path)
        taken = [
            i for i, (who, to) in enumerate(lists) if not await is_refused(who.http, to, cursor)
        ]
        assert taken == [index]


async def test_a_cursor_from_before_cursors_named_their_list_goes_on(world: World) -> None:
    alice = await world.member()
    [path, *_] = await message_lists(alice)
    page = (await alice.http.get(f"{path}&after={cursor_of(1)}")).json()
    assert [message["position"] for message in page["items"]] == [2]


async def test_the_refusal_says_what_to_do(world: World) -> None:
    alice = await world.member()
    one, *_, other = await message_lists(alice)
    answer = await alice.http.get(f"{one}&after={await following(alice.http, other)}")
    assert answer.json()["errors"] == [{"path": "after", "message": OTHER_LIST}]
