"""The pool holds as many connections as the load needs, and not many more once it is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from app.databases.database import Database, Databases
from app.databases.sessions import GeneralSession
from tests.support.pgbouncer import only_directly
from tests.support.servers import Servers, settings_for
from tests.support.wire import bounded

KEPT, MOST = 1, 3
General = Database[GeneralSession]

pytestmark = only_directly("PgBouncer's connections to the servers are not the service's")


@pytest.fixture
async def general(servers: Servers, database: str) -> AsyncIterator[General]:
    size = {"db_pool_size": KEPT, "db_max_overflow": MOST - KEPT, "db_pool_timeout": 600}
    databases = Databases.create(settings_for(servers, database, **size))
    yield databases.general
    await databases.dispose()


async def rush(general: General) -> set[int]:
    """Open as many sessions at once as there may be, and give their connections."""
    everybody = asyncio.Barrier(MOST)

    async def one() -> int:
        async with general.session() as session:
            pid = await session.scalar(text("SELECT pg_backend_pid()"))
            await everybody.wait()
        return pid or 0

    return set(await asyncio.gather(*(one() for _ in range(MOST))))


def calm_at_once(general: General) -> None:
    general.pool.calm_seconds = 0


@bounded
async def test_while_the_load_lasts_all_connections_are_kept(general: General) -> None:
    first = await rush(general)
    assert len(first) == MOST
    assert await rush(general) == first
    assert general.pool.usage() == (0, MOST, 0)


@bounded
async def test_once_it_is_calm_few_connections_are_kept(general: General) -> None:
    calm_at_once(general)
    for _ in range(2):
        assert len(await rush(general)) == MOST
        assert general.pool.usage() == (0, KEPT, 0)
