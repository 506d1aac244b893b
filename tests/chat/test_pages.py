"""Pages of messages end by bytes as they are sent, and the database reads no further."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.chat.pages import PAGE_BY_BYTES, PAGE_BYTES
from tests.support.citus import only_on_one_server
from tests.support.erasure_scene import Subject
from tests.support.erasure_scene import a_session as a_session_of
from tests.support.factories import Someone, World

LARGE = 262_144  # characters, the most that a message may have
AROUND = 400  # bytes of a message besides its content, and of a page besides its messages
RESIZE = "UPDATE messages SET content = repeat($2, $3) WHERE session_id = $1"
SIZES = """
UPDATE messages SET content = repeat(E'\\x01é"\\n', (position * 7919 % 9001)::int)
WHERE session_id = $1
"""
# PostgreSQL cannot compress these, so each of them fills blocks of its own.
RANDOM = """
UPDATE messages SET content = (
    SELECT string_agg(encode(sha256((messages.position || '-' || n)::bytea), 'hex'), '')
    FROM generate_series(1, 4096) AS n)
WHERE session_id = $1
"""
BLOCKS = """
SELECT toast_blks_read + toast_blks_hit FROM pg_statio_user_tables WHERE relname = 'messages'
"""


async def stored(general: asyncpg.Connection, owner: Someone, count: int) -> UUID:
    return await a_session_of(general, Subject(owner.tenant_id, owner.id), count)


async def bodies(reader: Someone, session_id: UUID, order: str, limit: int = 100) -> list[bytes]:
    """Read all pages, as they come over the wire."""
    found: list[bytes] = []
    query: dict[str, Any] = {"order": order, "limit": limit}
    while True:
        answer = await reader.http.get(f"/v1/chat-sessions/{session_id}/messages", params=query)
        assert answer.status_code == 200, answer.text[:200]
        found.append(answer.content)
        query["after"] = answer.json()["next"]
        if query["after"] is None:
            return found


def items(body: bytes) -> list[Any]:
    return json.loads(body)["items"]


def positions(pages: list[bytes]) -> list[int]:
    return [item["position"] for body in pages for item in items(body)]


def item_bytes(body: bytes) -> list[int]:
    """Count what each item takes: control characters take six bytes, everything else itself."""
    return [len(json.dumps(item["content"], ensure_ascii=False).encode()) for item in items(body)]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize(
    ("character", "in_a_page"),
    [("\x01", 2), ("x", 15), ("é", 7), ("🌍", 3), ('"', 7), ("\x7f", 15)],
)
async def test_large_messages_are_had_a_few_at_a_time(
    world: World, general: asyncpg.Connection, character: str, in_a_page: int, order: str
) -> None:
    """A hundred of control characters were one answer of 157 MB."""
    alice = await world.member()
    session_id = await stored(general, alice, 40)
    await general.execute(RESIZE, session_id, character, LARGE)
    pages = await bodies(alice, session_id, order)
    assert max(map(len, pages)) <= PAGE_BYTES
    assert {len(items(body)) for body in pages[:-1]} == {in_a_page}
    expected = list(range(1, 41))
    assert positions(pages) == (expected if order == "asc" else expected[::-1])
    assert all(item["content"] == character * LARGE for item in items(pages[0]))


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_are_as_full_as_they_may_be_and_meet(
    world: World, general: asyncpg.Connection, order: str
) -> None:
    """Messages of all sizes: the page ends only where the next message would not fit."""
    alice = await world.member()
    session_id = await stored(general, alice, 250)
    await general.execute(SIZES, session_id)
    pages = await bodies(alice, session_id, order)
    assert sorted(positions(pages)) == list(range(1, 251))
    assert max(map(len, pages)) <= PAGE_BYTES
    assert len(pages) > 3
    for body, following in pairwise(pages):
        several = (len(items(body)) + 2) * AROUND
        assert sum(item_bytes(body)) + item_bytes(following)[0] + several > PAGE_BYTES


async def test_a_page_has_a_message_however_large(
    world: World, general: asyncpg.Connection
) -> None:
    """A message that was taken when more was allowed is had, alone."""
    alice = await world.member()
    session_id = await stored(general, alice, 3)
    await general.execute(RESIZE, session_id, "\x01", PAGE_BYTES)
    pages = await bodies(alice, session_id, "asc")
    assert [len(items(body)) for body in pages] == [1, 1, 1]
    assert positions(pages) == [1, 2, 3]


@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_the_limit_holds_beside_the_bytes(
    world: World, general: asyncpg.Connection, limit: int
) -> None:
    """The last page says that nothing follows, even where it is exactly full."""
    alice = await world.member()
    session_id = await stored(general, alice, 28)
    await general.execute(RESIZE, session_id, "x", 30_000)  # large ones, but they all fit
    pages = await bodies(alice, session_id, "asc", limit)
    assert [len(items(body)) for body in pages] == [min(limit, 28)] * -(-28 // limit)
    assert positions(pages) == list(range(1, 29))


@only_on_one_server("the rows are read by a worker, which counts its own blocks")
async def test_the_database_reads_no_message_that_it_leaves_out(
    world: World, general: asyncpg.Connection
) -> None:
    alice = await world.member()
    session_id = await stored(general, alice, 100)
    await general.execute(RANDOM, session_id)

    async def read(sql: str, *more: object) -> int:
        before = await general.fetchval(BLOCKS)
        await general.fetch(sql, *more)
        await general.execute("SELECT pg_stat_force_next_flush()")
        return await general.fetchval(BLOCKS) - before

    page = {"tenant_id": alice.tenant_id, "user_id": alice.id, "session_id": session_id}
    page |= {"newest": True, "after": None, "rows": 101, "bytes": PAGE_BYTES}
    everything = await read("SELECT content FROM messages WHERE session_id = $1", session_id)
    assert 0 < await read(PAGE_BY_BYTES.sql, *PAGE_BY_BYTES.in_order(page)) < everything / 2
