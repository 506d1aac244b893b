"""A worker that is killed, or frozen, or a coordinator that starts again, while people write.

What was acknowledged is there, and once; and tenants of the other worker go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from statistics import median

import pytest

from app.config.settings import Settings
from tests.support import citus
from tests.support.cluster import NAME, Writer, all_of, apart, differences, on, writers
from tests.support.factories import World
from tests.support.outages import freeze, kill, start, thaw
from tests.support.servers import Servers

PEOPLE, AT_ONCE, MESSAGES = 8, 4, 10
STATEMENT_SECONDS = 5.0
MESSAGE = {"role": "user", "content": "Hello"}


@pytest.fixture
def settings(distributed: Servers) -> Settings:
    limits = {"db_statement_timeout_seconds": STATEMENT_SECONDS}
    return all_of(distributed, NAME).model_copy(update=limits)


async def test_a_worker_that_is_gone_is_503_for_its_tenants_alone(
    world: World, distributed: Servers, settings: Settings
) -> None:
    made = await writers(world, distributed, PEOPLE)
    dead = citus.nodes(distributed.general)[1]
    theirs, others = apart(made, dead)
    load = Load(made)
    await load.warm()
    await kill(dead)
    try:
        for one in theirs:
            assert (await one.someone.http.post(one.path, json=MESSAGE)).status_code == 503
        await load.further(others)
    finally:
        await start(dead)
    await load.further(made)
    await load.end()
    assert not any(one.statuses[503] for one in others)
    assert await differences(settings) == []


async def test_a_worker_that_is_frozen_holds_up_its_tenants_alone(
    world: World, distributed: Servers, settings: Settings
) -> None:
    """Together they may not spend the pool either, though each of them stays within its share."""
    made = await writers(world, distributed, PEOPLE)
    frozen = citus.nodes(distributed.general)[2]
    theirs, others = apart(made, frozen)
    load = Load(made)
    await load.warm()
    await freeze(frozen)
    try:
        while not all(one.statuses[503] for one in theirs):
            before = [len(one.seconds) for one in others]
            await load.further(others)
            pool = world.databases.general.pool.usage()
            assert pool.in_use + pool.idle <= 15
            slow = [one.seconds[n:] for one, n in zip(others, before, strict=True)]
            assert median([second for seconds in slow for second in seconds]) < STATEMENT_SECONDS
    finally:
        await thaw(frozen)
    await load.further(made)
    await load.end()
    assert not any(one.statuses[503] for one in others)
    assert await differences(settings) == []


async def test_a_coordinator_that_starts_again_is_503_until_then(
    world: World, distributed: Servers, settings: Settings
) -> None:
    made = await writers(world, distributed, 4)
    load = Load(made)
    await load.warm()
    await asyncio.to_thread(distributed.general.stop)
    try:
        for one in made:
            assert (await one.someone.http.post(one.path, json=MESSAGE)).status_code == 503
    finally:
        await start(distributed.general)
    await load.further(made)
    await load.end()
    async with on(distributed, NAME) as sql:
        assert await sql.fetchval("SELECT count(*) FROM pg_dist_node") == 3
    assert await differences(settings) == []


class Load:
    """Several requests of each person at a time, until `end`."""

    def __init__(self, made: Sequence[Writer]) -> None:
        self._made = made
        self._is_over = False
        self._tasks = [self._writing(one) for one in made for _ in range(AT_ONCE)]

    def _writing(self, one: Writer) -> asyncio.Task[None]:
        return asyncio.create_task(one.write(lambda: self._is_over))

    async def warm(self) -> None:
        """Let each have something acknowledged: the first plans take long on a busy machine."""
        await self.further(self._made)
        for one in self._made:
            one.statuses.clear()

    async def further(self, made: Sequence[Writer]) -> None:
        """Return when each of these has had some more acknowledged."""
        goals = [(one, len(one.acknowledged) + MESSAGES) for one in made]
        while any(len(one.acknowledged) < goal for one, goal in goals):
            await asyncio.sleep(0.05)
            for task in self._tasks:
                if task.done():
                    task.result()

    async def end(self) -> None:
        """Stop, and see that each message that was acknowledged is there, and none twice."""
        self._is_over = True
        await asyncio.gather(*self._tasks)
        for one in self._made:
            stored = [text for text in await one.stored() if text != MESSAGE["content"]]
            assert sorted(stored) == sorted(one.acknowledged)
