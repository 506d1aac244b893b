"""Waits until requests of the service wait for a row that a test holds."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

PATIENCE_SECONDS = 20
# Not of pg_stat_activity, which stands still within a transaction.
WAITING = """
SELECT count(DISTINCT pid) FROM pg_locks
WHERE NOT granted AND ($1 = 0 OR waitstart < clock_timestamp() - make_interval(secs => $1))
"""


async def until_waiting(
    sql: asyncpg.Connection,
    count: int = 1,
    *,
    on: asyncio.Task[Any] | None = None,
    seconds: float = 0,
) -> None:
    """Return when so many sessions of this server wait for a lock, for so long by its clock, or
    when `on` is done.
    """
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await sql.fetchval(WAITING, seconds) < count and not (on and on.done()):
            pass  # each question is a round trip, so this is no busy loop
