"""Writers hardly notice that a sweep deletes very many expired messages beside them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from statistics import quantiles
from typing import Any

import pytest

from app.http.security import Principal
from tests.support.chat import append, open_session
from tests.support.erasure_scene import Scene, Subject, open_scene
from tests.support.retention_scene import a_policy, retention_receipts, sweep
from tests.support.servers import Servers

pytestmark = pytest.mark.soak

SESSIONS = int(os.environ.get("SWEPT_SESSIONS", "10000"))
MESSAGES = 100  # in each
WRITERS = 4
PAUSE_SECONDS = 0.01
CALM_SECONDS = 10.0
OLD = """
INSERT INTO chat_sessions (tenant_id, id, user_id, message_count, updated_at)
SELECT $1, gen_random_uuid(), $2, $4, now() - interval '40 days' FROM generate_series(1, $3::int)
"""
SAID = """
INSERT INTO messages (tenant_id, id, session_id, position, role, content)
SELECT $1, gen_random_uuid(), s.id, n, 'user', repeat('Hello ', 40)
FROM chat_sessions s CROSS JOIN generate_series(1, $2::int) AS n WHERE s.tenant_id = $1
"""


@pytest.fixture
async def scene(servers: Servers, database: str) -> AsyncIterator[Scene]:
    async with open_scene(servers, database, db_pool_size=WRITERS + 2) as scene:
        yield scene


async def test_a_million_expired_messages_go_while_writers_keep_their_pace(
    scene: Scene, record_testsuite_property: Any
) -> None:
    alice = await a_policy(scene)
    bob = await scene.a_user(alice.tenant_id)
    who = alice.tenant_id, alice.user_id
    await scene.general.execute(OLD, *who, SESSIONS, MESSAGES)
    await scene.general.execute(SAID, alice.tenant_id, MESSAGES)
    await scene.general.execute("VACUUM ANALYZE")
    calm = await paced(scene, bob, asyncio.create_task(asyncio.sleep(CALM_SECONDS)))
    started = time.monotonic()
    beside = await paced(scene, bob, asyncio.create_task(sweep(scene)))
    record_testsuite_property("swept_seconds", time.monotonic() - started)
    record_testsuite_property("p99_ms", {"calm": calm, "beside": beside})
    assert await retention_receipts(scene) == [(SESSIONS, SESSIONS * MESSAGES)]
    assert beside < 2 * calm


async def paced(scene: Scene, subject: Subject, until: asyncio.Task[Any]) -> float:
    """Append messages until the task ends, and give the 99th percentile in milliseconds."""
    person = Principal(subject.user_id, subject.tenant_id, "\\t\\bob", frozenset())
    times = await asyncio.gather(*(write(scene, person, until) for _ in range(WRITERS)))
    await until
    return quantiles([one for some in times for one in some], n=100)[98]


async def write(scene: Scene, person: Principal, until: asyncio.Task[Any]) -> list[float]:
    opened = await open_session(scene.databases.general, person)
    times: list[float] = []
    while not until.done():
        started = time.perf_counter()
        await append(scene.databases.general, person, opened.id)
        times.append(1000 * (time.perf_counter() - started))
        await asyncio.sleep(PAUSE_SECONDS)
    return times
