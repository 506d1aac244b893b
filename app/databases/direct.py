"""One statement in one round trip: beneath the hot routes, past SQLAlchemy's execution.

Each is a transaction of its own: PostgreSQL commits it before it reports success, so what `fetch`
returns is committed. The statement names its tenant itself, by a function that makes the setting
(migration g0006).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

import asyncpg
from sqlalchemy import TextClause
from sqlalchemy.dialects.postgresql.asyncpg import dialect

from app.databases.causes import may_ask_again, misleads
from app.databases.connection import TenantConnection
from app.databases.pool import Pool


class Statement:
    """Compiled once, at import. `clause` is for a session, where it is one of several.

    One that only `reads`, or does nothing twice, is asked again if its connection is lost.
    """

    def __init__(self, clause: TextClause, *, reads: bool = False) -> None:
        compiled = clause.compile(dialect=dialect())
        self.clause = clause
        self.reads = reads
        self.sql = str(compiled)
        names = compiled.positiontup or ()
        self.has_deadline = "not_after" in names
        self.in_order = itemgetter(*names)


async def fetch(
    pool: Pool, statement: Statement, values: Mapping[str, Any], not_after: float | None
) -> Sequence[asyncpg.Record]:
    """Raises the driver's own errors, and TimeoutError when no connection comes free."""
    try:
        return await _fetch(pool, statement, values, not_after)
    except Exception as error:
        # A server that takes no writes has done nothing; another connection may lead to another.
        if not ((statement.reads and may_ask_again(error)) or misleads(error)):
            raise
    return await _fetch(pool, statement, values, not_after, fresh=True)


async def _fetch(
    pool: Pool,
    statement: Statement,
    values: Mapping[str, Any],
    not_after: float | None,
    *,
    fresh: bool = False,
) -> Sequence[asyncpg.Record]:
    connection = await pool.take(fresh=fresh)
    try:
        if statement.has_deadline:
            values = {**values, "not_after": deadline(connection, not_after)}
        return await connection.fetch(statement.sql, *statement.in_order(values))
    finally:
        pool.give_back(connection)


def deadline(connection: TenantConnection, not_after: float | None) -> datetime | None:
    """A moment of our monotonic clock, in the clock of this connection's server."""
    return None if not_after is None else connection.server_time(not_after)
