"""Deletes the idempotency keys that have expired, in both databases, wherever a relay runs.

An expired key already counts as absent; deleting it keeps no answer for longer than needed.
"""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import text

from app.bridge.rows import fetch_value
from app.config.settings import Settings
from app.databases.causes import describe
from app.databases.database import Database, Databases
from app.telemetry import log

# A batch is small because one stored answer may be ten megabytes.
ROWS = 100
EXPIRE = text("SELECT expire_keys(:rows)")


async def expire_for_ever(databases: Databases, settings: Settings) -> None:
    """Sweep until cancelled. A database that is away does not keep the other one waiting."""
    while True:
        for database in (databases.user, databases.general):
            try:
                await expire(database)
            except Exception as error:  # noqa: BLE001  it is done again
                log.warning("expiry_failed", database=database.name, **describe(error))
        await asyncio.sleep(settings.idempotency_sweep_seconds)


async def expire(database: Database[Any]) -> None:
    """Delete in short transactions, until only keys are left that another relay is deleting."""
    deleted = ROWS
    while deleted >= ROWS:
        deleted = await fetch_value(database, EXPIRE, {"rows": ROWS})
