"""A look at every connection of a pool: none may keep a transaction or a tenant."""

from __future__ import annotations

import asyncio
from typing import Any

from app.databases.database import Database

TENANT = "SELECT current_setting('app.tenant_id', true)"
IN_TRANSACTION = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
AND application_name = 'bicameral' AND state LIKE 'idle in transaction%'
"""
Any_ = Database[Any]


async def _settled(database: Any_) -> None:
    """A cancelled session gives its connection back in a task of its own."""
    async with asyncio.timeout(20):
        while database.pool.usage().in_use:  # noqa: ASYNC110  # the pool tells nobody
            await asyncio.sleep(0)


async def faults(database: Any_) -> list[str]:
    """Look at each of the pool's connections, and list what is wrong with them."""
    await _settled(database)
    found: list[str] = []
    pool = database.pool
    held = [await pool.take() for _ in range(max(1, pool.usage().idle))]
    for one in held:
        if one.is_in_transaction():
            found.append("a transaction is open")
        if await one.fetchval(TENANT):
            found.append("a tenant is set")
    if await held[0].fetchval(IN_TRANSACTION):
        found.append("PostgreSQL sees an idle transaction")
    for one in held:
        pool.give_back(one)
    return found
