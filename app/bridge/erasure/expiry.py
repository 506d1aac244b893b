"""Deletes what has expired wherever a relay runs: idempotency keys in both databases, tokens, and
audit events.

Keys and tokens that have expired already count as absent; deleting them keeps nothing for longer
than needed.
"""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import TextClause, text

from app.bridge.rows import fetch_value
from app.config.settings import Settings
from app.databases.causes import describe
from app.databases.database import Database, Databases
from app.telemetry import log

# A batch is small because one stored answer may be ten megabytes.
ROWS = 100
KEYS = text("SELECT expire_keys(:rows)")
TOKENS = text("SELECT expire_tokens(:rows)")
EVENTS = text("SELECT expire_audit_events(make_interval(days => :kept_days), :rows)")


async def expire_for_ever(databases: Databases, settings: Settings) -> None:
    """Sweep until cancelled. A sweep that fails does not keep the others waiting."""
    events = EVENTS.bindparams(kept_days=settings.audit_kept_days)
    user, general = databases.user, databases.general
    sweeps = ((user, KEYS), (user, TOKENS), (user, events), (general, KEYS))
    while True:
        for database, statement in sweeps:
            try:
                await expire(database, statement)
            except Exception as error:  # noqa: BLE001  it is done again
                log.warning("expiry_failed", database=database.name, **describe(error))
        await asyncio.sleep(settings.idempotency_sweep_seconds)


async def expire(database: Database[Any], statement: TextClause = KEYS) -> None:
    """Delete in short transactions, until only rows are left that another relay is deleting."""
    deleted = ROWS
    while deleted >= ROWS:
        deleted = await fetch_value(database, statement, {"rows": ROWS})
