"""Pages of an export end by bytes, so that large messages can be had and memory stays constant."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.bridge.export.repository import PAGE_BYTES, START, ExportRepository, Place
from tests.support.erasure_scene import Scene, Subject, a_session
from tests.support.plain import plain

# The rows of one part may be sorted, or filtered by their sizes: there are at most 1,000.
WASTE = ("Seq Scan", "Sort Key: s.created_at", "Filter: (m.", "Filter: (s.", "Filter: ((")
LARGE = 262_144  # characters; as JSON each of these takes six bytes
LARGEST_LINE = 6 * LARGE + 1000
POSITION = re.compile(rb'"position":(\d+)')
RESIZE = "UPDATE messages SET content = repeat($1, $2) WHERE tenant_id = $3"
SIZES = """
UPDATE messages SET content = repeat('x', (position * 7919 % 3000)::int) WHERE tenant_id = $1
"""
EXPLAINED = """
LOAD 'auto_explain';
SET auto_explain.log_min_duration = 0;
SET auto_explain.log_nested_statements = on;
SET client_min_messages = 'log';
"""
MANY = """
INSERT INTO chat_sessions (tenant_id, id, user_id, created_at)
SELECT $1, gen_random_uuid(), $2, now() - n * interval '1 hour' FROM generate_series(1, 2000) AS n
"""


async def pages(scene: Scene, subject: Subject, page_bytes: int = PAGE_BYTES) -> list[bytes]:
    """Read all messages, page by page; no part of a page holds more than a part may."""
    rows = ExportRepository(
        scene.databases.general, subject.tenant_id, subject.user_id, plain(), page_bytes
    )
    found: list[bytes] = []
    place: Place | None = START
    while place is not None:
        parts, place = await rows.messages(place)
        assert all(len(part) <= 2 * LARGEST_LINE for part in parts)
        found.append(b"".join(parts))
    return found


def lines(pages: list[bytes]) -> list[Any]:
    return [json.loads(line) for page in pages for line in page.splitlines()]


async def test_large_messages_are_had_in_pages_of_their_size(scene: Scene) -> None:
    """Twenty of them were one page of 31 MB, and three hundred were more than a server can hold."""
    subject = await scene.a_user()
    await a_session(scene.general, subject, 20)
    await scene.general.execute(RESIZE, "\x01", LARGE, subject.tenant_id)
    read = await pages(scene, subject)
    assert max(map(len, read)) <= PAGE_BYTES + LARGEST_LINE
    assert [line["position"] for line in lines(read)] == list(range(1, 21))
    assert all(line["content"] == "\x01" * LARGE for line in lines(read))


@pytest.mark.parametrize("count", [60, pytest.param(306, marks=pytest.mark.slow)])
async def test_many_of_the_largest_messages_are_exported_in_little_memory(
    scene: Scene, count: int
) -> None:
    """306 are 482 MB. No backend ever holds more of them than the parts of a page."""
    subject = await scene.a_user()
    await a_session(scene.general, subject, count)
    await scene.general.execute(RESIZE, "\x01", LARGE, subject.tenant_id)
    before = private_bytes(scene)
    rows = ExportRepository(scene.databases.general, subject.tenant_id, subject.user_id, plain())
    positions: list[int] = []
    place: Place | None = START
    while place is not None:
        parts, place = await rows.messages(place)
        positions += [int(n) for part in parts for n in POSITION.findall(part)]
        assert private_bytes(scene) - before < 16 * LARGEST_LINE
    assert positions == list(range(1, count + 1))


def private_bytes(scene: Scene) -> int:
    """Add up the memory that the general server's processes share with no other."""
    told = [process.memory_full_info() for process in scene.servers.general.processes()]
    return sum(int(one.uss) for one in told)


@pytest.mark.parametrize("page_bytes", [1, 5000, 300_000])
async def test_whatever_a_page_holds_they_meet_without_gap_or_overlap(
    scene: Scene, page_bytes: int
) -> None:
    """Sessions without messages, with few and with more than a part holds, in order of time."""
    subject = await scene.a_user()
    sessions = [await a_session(scene.general, subject, size) for size in (3, 0, 1500, 0, 1, 200)]
    await scene.general.execute(SIZES, subject.tenant_id)
    read = await pages(scene, subject, page_bytes)
    expected = [
        (s, n)
        for s, size in zip(sessions, (3, 0, 1500, 0, 1, 200), strict=True)
        for n in range(1, size + 1)
    ]
    assert [(UUID(line["session_id"]), line["position"]) for line in lines(read)] == expected
    assert len(read) > 1 or page_bytes > 1_000_000


async def test_the_clock_of_the_database_orders_them(scene: Scene) -> None:
    subject = await scene.a_user()
    first, second = [await a_session(scene.general, subject, 1) for _ in range(2)]
    later = "UPDATE chat_sessions SET created_at = created_at + interval '1 hour' WHERE id = $1"
    await scene.general.execute(later, first)
    found = lines(await pages(scene, subject))
    assert [UUID(line["session_id"]) for line in found] == [second, first]
    rows = ExportRepository(scene.databases.general, subject.tenant_id, subject.user_id, plain())
    times = [session.created_at for session in await rows.sessions(None)]
    assert all(earlier < time for earlier, time in pairwise(times))


async def test_no_plan_reads_in_vain(scene: Scene) -> None:
    subject = await scene.a_user(sessions=3)
    await scene.general.execute(MANY, subject.tenant_id, subject.user_id)
    await a_session(scene.general, subject, 1500)
    await a_session(scene.general, await scene.a_user(), 20_000)  # more than is worth reading
    await scene.general.execute(SIZES, subject.tenant_id)
    await scene.general.execute("ANALYZE")
    connection = await asyncpg.connect(scene.servers.general.url(scene.database))
    plans: list[str] = []

    def note(_: object, message: object) -> None:
        plans.append(str(message))

    connection.add_log_listener(note)
    page = "SELECT * FROM export_parts($1, $2, $3, $4, $5, 100000)"
    place = START
    # Before plans are written down, the driver asks what types the page has.
    await connection.fetch(page, subject.tenant_id, subject.user_id, *place)
    await connection.execute(EXPLAINED)
    for _ in range(12):  # PostgreSQL makes a generic plan of the sixth
        *_, end = await connection.fetch(page, subject.tenant_id, subject.user_id, *place)
        place = Place(end["session_time"], end["session"], end["last"])
    await connection.close()
    told = "\n".join(plans)
    assert "idx_chat_sessions_user_id " in told
    assert "idx_messages_session_id" in told
    assert [line for line in told.splitlines() if any(word in line for word in WASTE)] == []
