"""A user who is deleted while they write with all their might."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.http.problems import to_problem
from app.http.security import Principal
from tests.support.chat import append, open_session
from tests.support.erasure_scene import Scene, Subject, open_scene
from tests.support.servers import Servers

WRITERS = 24
# A relay's way to the closing takes as long as some 25 messages of each writer, on a quiet machine
# and on a busy one; were it starved, they would write for ever.
MOST_EACH = 75


@pytest.fixture
async def scene(servers: Servers, database: str) -> AsyncIterator[Scene]:
    async with open_scene(servers, database, db_pool_size=WRITERS + 4) as scene:
        yield scene


async def write(scene: Scene, subject: Subject, warm: asyncio.Barrier) -> tuple[int, int]:
    """Write as requests do whose token was checked in time, until one is refused.

    Give how many sessions and messages were accepted; the last session's message may be too late.
    """
    late = Principal(subject.user_id, subject.tenant_id, "\\t\\late", frozenset())
    sessions = messages = 0
    while True:
        try:
            opened = await open_session(scene.databases.general, late)
            sessions += 1
            await append(scene.databases.general, late, opened.id)
        except Exception as error:  # as the service's own handler does
            if to_problem(error).status not in (401, 404):
                raise
            return sessions, messages
        messages += 1
        if messages == 1:
            await warm.wait()


async def test_under_load_the_owner_closes_at_once_and_nothing_is_left(
    scene: Scene, record_testsuite_property: Any
) -> None:
    """However busy their user is, a relay gets to close the owner, and counts what was stored."""
    alice, warm = await scene.a_user(), asyncio.Barrier(WRITERS + 1)
    writers = [asyncio.create_task(write(scene, alice, warm)) for _ in range(WRITERS)]
    await warm.wait()
    await scene.delete(alice)
    before = await scene.general.fetchval("SELECT count(*) FROM messages")
    assert await scene.relay().run_once()
    sessions, messages = map(sum, zip(*await asyncio.gather(*writers), strict=True))
    (receipt,) = await scene.receipts()
    assert (receipt["chat_sessions"], receipt["messages"]) == (sessions, messages)
    assert await scene.orphans() == 0
    record_testsuite_property("seconds_until_closed", await closed_after(scene, alice))
    assert messages - before < WRITERS * MOST_EACH


async def closed_after(scene: Scene, subject: Subject) -> float:
    """Both servers run on this machine's clock."""
    closed = "SELECT closed_at FROM owners WHERE user_id = $1"
    changed_at = (await scene.entry(subject))["changed_at"]
    closed_at = await scene.general.fetchval(closed, subject.user_id)
    return float((closed_at - changed_at).total_seconds())
