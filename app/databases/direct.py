"""One statement in one round trip: beneath the hot routes, past SQLAlchemy's execution and pool.

Each is a transaction of its own: PostgreSQL commits it before it reports success, so what `fetch`
returns is committed. The statement names its tenant itself, by a function that makes the setting
(migration g0006). Connections are opened as the engine's are, with its login and its timeouts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from operator import itemgetter
from typing import Any

import asyncpg
from sqlalchemy import TextClause
from sqlalchemy.dialects.postgresql.asyncpg import dialect

from app.config.settings import Settings
from app.databases.breaker import Breaker
from app.databases.connection import Connect, TenantConnection
from app.telemetry.pools import Usage

CLOSE_SECONDS = 2


class Statement:
    """Compiled once, at import. `clause` is for a session, where it is one of several."""

    def __init__(self, clause: TextClause) -> None:
        compiled = clause.compile(dialect=dialect())
        self.clause = clause
        self.sql = str(compiled)
        names = compiled.positiontup or ()
        self.has_deadline = "not_after" in names
        self.in_order = itemgetter(*names)


class DirectPool:
    """Up to DB_POOL_SIZE connections, opened when needed; whoever finds none free queues."""

    def __init__(self, connect: Connect, breaker: Breaker, settings: Settings) -> None:
        self._connect = connect
        self._breaker = breaker
        self._settings = settings
        self._idle: list[TenantConnection] = []
        self._free = asyncio.Semaphore(settings.db_pool_size)
        self._in_use = 0
        self._waiting = 0
        self._closing = set[asyncio.Task[None]]()

    async def fetch(
        self, statement: Statement, values: Mapping[str, Any], not_after: float | None
    ) -> Sequence[asyncpg.Record]:
        """Raises the driver's own errors, and TimeoutError when no connection comes free."""
        connection = await self._take()
        try:
            self._breaker.taken(connection)
            if statement.has_deadline:
                values = {**values, "not_after": deadline(connection, not_after)}
            rows = await connection.fetch(statement.sql, *statement.in_order(values))
        except asyncpg.PostgresError:  # the server's own answer: the connection is as it was
            self._give_back(connection)
            raise
        except BaseException:
            self._discard(connection)
            raise
        finally:
            self._breaker.given_back(connection)
        self._give_back(connection)
        return rows

    @property
    def is_silent(self) -> bool:
        """The database is given up on until it answers: whoever needs it is refused."""
        return self._breaker.is_open

    async def _take(self) -> TenantConnection:
        await (self._queue() if self._free.locked() else self._free.acquire())
        self._in_use += 1
        try:
            return self._usable() or await self._opened()
        except BaseException:
            self._release()
            raise

    def _release(self) -> None:
        self._in_use -= 1
        self._free.release()

    async def _queue(self) -> None:
        self._waiting += 1
        try:
            async with asyncio.timeout(self._settings.db_pool_timeout):
                await self._free.acquire()
        finally:
            self._waiting -= 1

    def _usable(self) -> TenantConnection | None:
        """The one used last. What the server has closed meanwhile, the driver has noticed."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed() and time.monotonic() < connection.expires_at:
                return connection
            self._close(connection)
        return None

    async def _opened(self) -> TenantConnection:
        connection = await self._connect()
        connection.expires_at = time.monotonic() + self._settings.db_pool_recycle_seconds
        return connection

    def _give_back(self, connection: TenantConnection) -> None:
        self._idle.append(connection)
        self._release()

    def _discard(self, connection: TenantConnection) -> None:
        """Cancelled or broken: nobody knows what it would answer next."""
        self._close(connection)
        self._release()

    def _close(self, connection: TenantConnection) -> None:
        """Beside the request; the driver first tells the server to stop what was cancelled."""
        task = asyncio.create_task(_close(connection))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def usage(self) -> Usage:
        return Usage(self._in_use, len(self._idle), self._waiting)

    async def dispose(self) -> None:
        """Closes what is idle, and waits for what is closing."""
        while self._idle:
            self._close(self._idle.pop())
        await asyncio.gather(*self._closing)


def deadline(connection: TenantConnection, not_after: float | None) -> datetime | None:
    """A moment of our monotonic clock, in the clock of this connection's server."""
    return None if not_after is None else connection.server_time(not_after)


async def _close(connection: TenantConnection) -> None:
    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        await connection.close(timeout=CLOSE_SECONDS)
    connection.terminate()
