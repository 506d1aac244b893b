"""Holds rows, and waits until requests of the service wait for them; on Citus as well."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from app.databases.citus import IS_THERE
from tests.support import citus

PATIENCE_SECONDS = 20
# Not of pg_stat_activity, which stands still within a transaction.
WAITING = """
SELECT count(DISTINCT pid) FROM pg_locks
WHERE NOT granted AND ($1 = 0 OR waitstart < clock_timestamp() - make_interval(secs => $1))
"""
# On Citus who waits does so on a worker.
ON_ALL_NODES = "SELECT sum(result::int) FROM run_command_on_all_nodes($1)"


async def lock_rows(sql: asyncpg.Connection, table: str) -> None:
    """Lock all rows to the end of the transaction, a tenant's at a time: else Citus refuses."""
    for row in await sql.fetch(f"SELECT DISTINCT tenant_id FROM {table}"):
        await sql.execute(f"SELECT FROM {table} WHERE tenant_id = $1 FOR UPDATE", row["tenant_id"])


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
        while await _waiting(sql, seconds) < count and not (on and on.done()):
            pass  # each question is a round trip, so this is no busy loop


async def _waiting(sql: asyncpg.Connection, seconds: float) -> int:
    if not (citus.IS_WANTED and await sql.fetchval(IS_THERE)):
        return await sql.fetchval(WAITING, seconds)
    return await sql.fetchval(ON_ALL_NODES, WAITING.replace("$1", f"{seconds:f}"))
