"""One tenant's statements cannot spend the pool, wherever they hang: behind a lock, on a shard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from app.config.settings import Settings
from app.databases.connection import Holders
from app.databases.places import Places
from tests.support.factories import Someone, World, a_session
from tests.support.locks import until_waiting
from tests.support.servers import Servers, settings_for
from tests.support.wire import bounded

MOST, SHARE, ALONE = 8, 4, 6
SIZE = {"db_pool_size": 2, "db_max_overflow": MOST - 2, "db_pool_timeout": 0.5}
LOCK = "SELECT FROM chat_sessions WHERE tenant_id = $1 FOR UPDATE"
MESSAGE = {"role": "user", "content": "Hello"}
FROZEN, OTHER, NOBODY = ("frozen",), ("other",), ()


@pytest.fixture
def settings(servers: Servers, database: str) -> Settings:
    return settings_for(servers, database, **SIZE)


@asynccontextmanager
async def frozen(
    servers: Servers, database: str, someone: Someone
) -> AsyncGenerator[tuple[asyncpg.Connection, list[str]]]:
    """Hold all of someone's sessions, as a server that hangs would."""
    sessions = [(await a_session(someone))["id"] for _ in range(2 * MOST)]
    sql = await asyncpg.connect(servers.general.url(database))
    try:
        async with sql.transaction():
            await sql.fetch(LOCK, someone.tenant_id)
            yield sql, [f"/v1/chat-sessions/{one}/messages" for one in sessions]
    finally:
        await sql.close()


@bounded
async def test_while_a_tenants_statements_hang_the_others_go_on(
    world: World, servers: Servers, database: str
) -> None:
    alice, bob = await world.member(), await world.someone("\\other\\bob")
    place = f"/v1/chat-sessions/{(await a_session(bob))['id']}/messages"
    async with frozen(servers, database, alice) as (sql, paths):
        hanging = [asyncio.create_task(alice.http.post(path, json=MESSAGE)) for path in paths]
        await until_waiting(sql, ALONE)
        for _ in range(5):
            assert (await bob.http.post(place, json=MESSAGE)).status_code == 201
        assert sum(not one.done() for one in hanging) >= ALONE
        assert world.databases.general.pool.usage().in_use == ALONE
    answers = [one.status_code for one in await asyncio.gather(*hanging)]
    assert answers.count(201) >= ALONE


@bounded
async def test_control_when_all_connections_are_taken_others_are_refused(
    world: World, settings: Settings
) -> None:
    bob = await world.member()
    place = f"/v1/chat-sessions/{(await a_session(bob))['id']}/messages"
    pool = world.databases.general.pool
    held = [await pool.take() for _ in range(MOST)]
    assert (await bob.http.post(place, json=MESSAGE)).status_code == 503
    for connection in held:
        pool.give_back(connection)
    assert (await bob.http.post(place, json=MESSAGE)).status_code == 201


async def _has_all(places: Places, holders: Holders, count: int) -> None:
    for _ in range(count):
        await places.take(holders, 0)


@bounded
async def test_a_share_is_half_and_more_only_while_nobody_waits() -> None:
    places = Places(MOST)
    await _has_all(places, FROZEN, ALONE)
    with pytest.raises(TimeoutError):
        await places.take(FROZEN, 0.01)
    await _has_all(places, OTHER, MOST - ALONE)
    theirs = asyncio.create_task(places.take(FROZEN, 60))
    others = asyncio.create_task(places.take(OTHER, 60))
    await asyncio.sleep(0)
    places.give_back(FROZEN)
    await others
    assert not theirs.done()  # it came first, and has more than its share
    places.give_back(FROZEN)
    await theirs
    for _ in range(ALONE - SHARE):
        places.give_back(FROZEN)
    assert (places.in_use, places.waiting) == (MOST - 2, 0)


@bounded
async def test_the_tenants_of_one_worker_have_one_share_together() -> None:
    places = Places(MOST)
    for number in range(ALONE):
        await places.take((f"tenant {number}", "worker that hangs"), 0)
    with pytest.raises(TimeoutError):
        await places.take(("yet another", "worker that hangs"), 0.01)
    theirs = asyncio.create_task(places.take(("yet another", "worker that hangs"), 60))
    await asyncio.sleep(0)
    for number in range(MOST - ALONE):
        await places.take((f"neighbour {number}", "another worker"), 0)
    others = asyncio.create_task(places.take(("neighbour", "another worker"), 60))
    await asyncio.sleep(0)
    places.give_back(("tenant 0", "worker that hangs"))
    await others
    theirs.cancel()


@bounded
async def test_who_gives_up_leaves_no_place_behind_and_keeps_nobody_waiting() -> None:
    places = Places(MOST)
    await _has_all(places, NOBODY, MOST)
    tasks = [asyncio.create_task(places.take(OTHER, 60)) for _ in range(3)]
    await asyncio.sleep(0)
    places.give_back(NOBODY)
    tasks[0].cancel()  # its place has come, and it has not seen that
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert [task.cancelled() for task in tasks] == [True, True, False]
    assert (places.in_use, places.waiting) == (MOST, 0)


@bounded
async def test_a_small_pool_is_shared_as_far_as_it_goes() -> None:
    for most in (1, 2, 3):
        places = Places(most)
        await _has_all(places, FROZEN, most)
        with pytest.raises(TimeoutError):
            await places.take(OTHER, 0.01)
        places.give_back(FROZEN)
        await places.take(OTHER, 0)
