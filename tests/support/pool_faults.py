"""A look at every connection of a pool: none may keep a transaction or a tenant."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import text

from app.databases.database import Database
from app.databases.direct import Statement

TENANT = text("SELECT current_setting('app.tenant_id', true)")
DIRECT = Statement(text("SELECT current_setting('app.tenant_id', true) AS tenant, :n, :m"))
IN_TRANSACTION = text("""
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
AND application_name = 'bicameral' AND state LIKE 'idle in transaction%'
""")
Any_ = Database[Any]


async def _settled(database: Any_) -> None:
    """A cancelled session gives its connection back in a task of its own."""
    pool: Any = database.engine.pool
    async with asyncio.timeout(20):
        while pool.checkedout() or database.direct.usage().in_use:  # noqa: ASYNC110  # the pool tells nobody
            await asyncio.sleep(0)


async def faults(database: Any_) -> list[str]:
    """Look at each of the pool's connections, and list what is wrong with them."""
    await _settled(database)
    found: list[str] = []
    pool: Any = database.engine.pool
    engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    held = [await engine.connect() for _ in range(max(1, pool.checkedin()))]
    for one in held:
        raw: Any = (await one.get_raw_connection()).driver_connection
        if raw.is_in_transaction():
            found.append("a transaction is open")
        if raw.tenant_id is not None or (await one.execute(TENANT)).scalar():
            found.append("a tenant is set")
    if (await held[0].execute(IN_TRANSACTION)).scalar():
        found.append("PostgreSQL sees an idle transaction")
    for one in held:
        await one.close()
    return found + await _direct_faults(database)


async def _direct_faults(database: Any_) -> list[str]:
    """Look at the hot routes' connections; all at once, so that each is asked."""
    asked = [
        database.fetch(DIRECT, {"n": "", "m": ""}) for _ in range(database.direct.usage().idle)
    ]
    answers = await asyncio.gather(*asked)
    return ["a tenant is set" for [one] in answers if one["tenant"]]
