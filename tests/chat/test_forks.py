"""A fork is a new conversation with the messages of another one, up to one of them."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from app.chat.words import Words
from tests.support.factories import Someone, World, a_message, a_session
from tests.support.opened import opened
from tests.support.pages import items
from tests.support.servers import Servers

SESSIONS = "/v1/chat-sessions"
KEPT = (
    *("position", "role", "content", "parts", "metadata", "client_id", "client_digest", "item_id"),
    *("item_members", "is_item", "status", "created_by", "created_at", "updated_at"),
)
TYPED = """
UPDATE messages SET client_id = 'c-' || position::text, item_id = 'rs_' || position::text,
    is_item = true, status = 'in_progress', created_by = $1, updated_at = now() WHERE position = 2
"""
ALL = Words(
    "text", '[{"type": "x", "n": 1e400}]', '{"a": "b"}', members='{"type": "x"}', digest=b"\1"
)


async def messages_of(someone: Someone, session_id: str) -> list[dict[str, Any]]:
    url = f"{SESSIONS}/{session_id}/messages"
    return [one async for one in items(someone.http, url, limit=100, order="asc")]


async def a_conversation(someone: Someone, count: int) -> dict[str, Any]:
    body = {"title": "Norway", "metadata": {"a": "b"}, "external_id": uuid4().hex}
    session = (await someone.http.post(SESSIONS, json=body)).json()
    for number in range(count):
        await a_message(someone, session["id"], f"message {number + 1}")
    read: dict[str, Any] = (await someone.http.get(f"{SESSIONS}/{session['id']}")).json()
    return read


@pytest.mark.parametrize(("position", "copied"), [(None, 3), (3, 3), (2, 2), (0, 0)])
async def test_a_fork_has_the_messages_up_to_there(
    world: World, position: int | None, copied: int
) -> None:
    alice = await world.member()
    source = await a_conversation(alice, 3)
    url = f"{SESSIONS}/{source['id']}"
    answer = await alice.http.post(f"{url}/fork", json={"position": position})
    assert answer.status_code == 201, answer.text
    fork = answer.json()
    at = 3 if position is None else position
    assert fork == source | {
        "id": fork["id"],
        "external_id": None,
        "message_count": copied,
        "last_position": copied,
        "forked_from": {"session_id": source["id"], "position": at},
        "created_at": fork["created_at"],
        "updated_at": fork["created_at"],
    }
    assert fork["created_at"] > source["created_at"]
    assert (await alice.http.get(f"{SESSIONS}/{fork['id']}")).headers["etag"] == answer.headers[
        "etag"
    ]
    before, after = await messages_of(alice, source["id"]), await messages_of(alice, fork["id"])
    same = [{"id": one["id"], "session_id": fork["id"]} for one in after]
    assert after == [old | new for old, new in zip(before[:copied], same, strict=True)]
    ids = [UUID(one["id"]) for one in after]
    assert len({*ids, *(UUID(one["id"]) for one in before)}) == copied + 3
    assert {(one.version, one.variant) for one in ids} <= {(7, "specified in RFC 4122")}
    assert (await a_message(alice, fork["id"]))["position"] == copied + 1
    assert (await alice.http.get(url)).json() == source


async def test_a_fork_keeps_every_column_of_a_message(
    world: World, servers: Servers, database: str
) -> None:
    """Columns that a later version adds to messages must be kept, too, or named here."""
    alice = await world.member()
    source = await a_conversation(alice, 3)
    async with opened(servers, database) as opener:
        (second,) = [one for one in await opener.messages() if one.position == 2]
        await opener.rewrite(second, ALL)
        await opener.general.execute(TYPED, uuid4())
        fork = (await alice.http.post(f"{SESSIONS}/{source['id']}/fork")).json()
        again = (await alice.http.post(f"{SESSIONS}/{fork['id']}/fork")).json()
        rows = [
            [[getattr(row, name) for name in KEPT] for row in await opener.messages(one)]
            for one in (source["id"], fork["id"], again["id"])
        ]
        columns = await opener.general.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'messages'::regclass AND attnum > 0"
        )
    assert None not in rows[0][1]
    assert rows[0] == rows[1] == rows[2]
    own = {"tenant_id", "session_id", "id", "sealed", "sealed_size"}
    assert {one["attname"] for one in columns} == {*KEPT, *own}


async def test_a_position_is_one_that_every_clients_numbers_hold(world: World) -> None:
    alice = await world.member()
    url = f"{SESSIONS}/{(await a_conversation(alice, 1))['id']}/fork"
    for position, why in (
        (2**53 - 1, "The conversation ends before this position."),
        (2**53, "Send at most 9007199254740991."),
        (-1, "Send at least 0."),
    ):
        answer = await alice.http.post(url, json={"position": position})
        assert answer.json()["errors"] == [{"path": "position", "message": why}]


async def test_positions_go_on_after_the_last_one_ever_given(
    world: World, servers: Servers, database: str
) -> None:
    """Messages in the middle and at the end have been deleted."""
    alice = await world.member()
    source = await a_conversation(alice, 5)
    general = await asyncpg.connect(servers.general.url(database))
    await general.execute("DELETE FROM messages WHERE position IN (2, 5)")
    await general.execute("UPDATE chat_sessions SET message_count = 3, last_position = 5")
    await general.close()
    for position, count, last in ((None, 3, 5), (5, 3, 5), (4, 3, 4), (2, 1, 2), (1, 1, 1)):
        body = {"position": position}
        fork = (await alice.http.post(f"{SESSIONS}/{source['id']}/fork", json=body)).json()
        assert (fork["message_count"], fork["last_position"]) == (count, last)
        assert fork["forked_from"]["position"] == last


async def test_a_fork_is_made_once_for_each_key(world: World) -> None:
    alice = await world.member()
    source = await a_conversation(alice, 2)
    url, headers = f"{SESSIONS}/{source['id']}/fork", {"Idempotency-Key": "once"}
    first = await alice.http.post(url, json={"position": 1}, headers=headers)
    again = await alice.http.post(url, json={"position": 1}, headers=headers)
    assert (again.status_code, again.content) == (201, first.content)
    other = await alice.http.post(url, json={"position": 2}, headers=headers)
    assert other.status_code == 422
    assert len((await alice.http.get(SESSIONS)).json()["items"]) == 2


@pytest.mark.parametrize("position", [3, 2**53 - 1, 2**53, -1, 1.5, "1"])
async def test_a_position_that_is_not_there_is_refused(world: World, position: Any) -> None:
    alice = await world.member()
    source = await a_conversation(alice, 2)
    url = f"{SESSIONS}/{source['id']}/fork"
    answer = await alice.http.post(url, json={"position": position})
    assert answer.status_code == 422, answer.text
    assert [one["path"] for one in answer.json()["errors"]] == ["position"]
    assert len((await alice.http.get(SESSIONS)).json()["items"]) == 1


async def test_nobody_forks_anothers_conversation(world: World) -> None:
    alice = await world.member()
    source = await a_conversation(alice, 1)
    for other in (await world.member(), await world.tenant_admin(), await world.admin()):
        answer = await other.http.post(f"{SESSIONS}/{source['id']}/fork")
        assert answer.status_code == 404
        assert (await other.http.get(SESSIONS)).json()["items"] == []
    assert (await alice.http.post(f"{SESSIONS}/{uuid4()}/fork")).status_code == 404


@pytest.mark.parametrize(
    ("rows", "size", "status"),
    [(10_000, 1, 201), (10_001, 1, 413), (64, 1 << 20, 201), (65, 1 << 20, 413)],
)
async def test_what_is_too_much_is_not_forked(
    world: World, servers: Servers, database: str, rows: int, size: int, status: int
) -> None:
    alice = await world.member()
    source = await a_session(alice)
    general = await asyncpg.connect(servers.general.url(database))
    await general.execute(
        "INSERT INTO messages (tenant_id, id, session_id, position, role, content) SELECT"
        " tenant_id, gen_random_uuid(), id, n, 'user', repeat('x', $2)"
        " FROM chat_sessions CROSS JOIN generate_series(1, $1::int) n WHERE id = $3",
        *(rows, size, UUID(source["id"])),
    )
    await general.execute("UPDATE chat_sessions SET message_count = $1", rows)
    await general.close()
    url = f"{SESSIONS}/{source['id']}/fork"
    answer = await alice.http.post(url)
    assert answer.status_code == status, answer.text
    fewer = await alice.http.post(url, json={"position": 10})
    assert (fewer.status_code, fewer.json()["message_count"]) == (201, 10)
    count = len((await alice.http.get(SESSIONS)).json()["items"])
    assert count == (3 if status == 201 else 2)


async def test_a_fork_is_one_state_of_what_grows_meanwhile(world: World) -> None:
    alice = await world.member()
    source = await a_conversation(alice, 1)

    async def fork() -> None:
        made = (await alice.http.post(f"{SESSIONS}/{source['id']}/fork")).json()
        positions = [one["position"] for one in await messages_of(alice, made["id"])]
        assert positions == list(range(1, made["message_count"] + 1))
        assert made["forked_from"]["position"] == made["message_count"]

    appends = (a_message(alice, source["id"]) for _ in range(20))
    await asyncio.gather(*(fork() for _ in range(10)), *appends)
