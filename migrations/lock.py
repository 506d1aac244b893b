"""One migration at a time in each database, however many replicas start at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import sqlalchemy as sa
from alembic.util import CommandError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

LOCK_KEY = int.from_bytes(b"bicamera")  # PostgreSQL keeps a database's keys apart from another's
POLL_INTERVAL_SECONDS = 0.1


@asynccontextmanager
async def held(engine: AsyncEngine, wait_seconds: float) -> AsyncGenerator[AsyncConnection]:
    """Yields the connection that holds it; the lock ends with the connection, so also in a crash.

    Asks again and again, outside any transaction: CREATE INDEX CONCURRENTLY would wait for one
    that waits for this lock, and so both would wait for ever.
    """
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await _acquire(connection, wait_seconds)
        yield connection


async def _acquire(connection: AsyncConnection, wait_seconds: float) -> None:
    clock = asyncio.get_running_loop()
    deadline = clock.time() + wait_seconds
    while not await connection.scalar(sa.select(sa.func.pg_try_advisory_lock(LOCK_KEY))):
        if clock.time() >= deadline:
            raise CommandError(
                f"another migration has been running for {wait_seconds:g} seconds; "
                "try again later, or raise MIGRATION_WAIT_SECONDS"
            )
        await asyncio.sleep(POLL_INTERVAL_SECONDS)
