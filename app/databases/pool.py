"""The pool of one database's connections, beneath sessions and single statements alike.

It is not asyncpg's, which lets a prepared statement die with each release, so that every session
would prepare its own anew, and takes twice the time for a statement (80 instead of 40 µs).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from app.config.settings import Settings
from app.databases.causes import may_ask_again, misleads
from app.databases.closing import ENDS_WITHIN_SECONDS, Closing, let_end
from app.databases.connection import Connect, Holders, TenantConnection
from app.databases.places import Places
from app.databases.shards import Shards
from app.databases.statement import Statement
from app.telemetry.pools import Usage
from app.telemetry.requests import count_rows, observe_statement

CALM_SECONDS = 5.0


class Pool:
    """Keeps DB_POOL_SIZE connections, and up to DB_MAX_OVERFLOW more while the load lasts.

    Connections are opened when they are needed; whoever finds none free queues. Places tells how
    many of them one tenant, or one worker of Citus, may have.
    """

    def __init__(self, connect: Connect, settings: Settings) -> None:
        self._connect = connect
        self._size = settings.db_pool_size
        self._wait_seconds = settings.db_pool_timeout
        self._recycle_seconds = settings.db_pool_recycle_seconds
        self._idle: list[TenantConnection] = []
        self._places = Places(settings.db_pool_size + settings.db_max_overflow)
        self._shards: Shards | None = None
        self._renewed_at = 0.0  # older connections are used no more
        self._lost_at = 0.0  # nor are those that have not been heard since
        self._closing = Closing()
        self.calm_seconds = CALM_SECONDS
        self.ends_within_seconds = ENDS_WITHIN_SECONDS

    async def fetch(
        self, statement: Statement, values: Mapping[str, Any], *, not_after: float | None = None
    ) -> Sequence[asyncpg.Record]:
        """Run one statement that is a transaction of its own, committed in one round trip.

        A parameter `:not_after` gets the deadline, a moment of our monotonic clock, in the clock of
        the very server that runs the statement; NULL when there is none. Raises the driver's own
        errors, and TimeoutError when no connection comes free.
        """
        tenant_id = values.get("tenant_id")
        try:
            connection = self._at_hand(self._holders(tenant_id)) or await self.take(tenant_id)
            return await self._ask(connection, statement, values, not_after)
        except Exception as error:
            # A server that takes no writes has done nothing; another connection may lead elsewhere.
            if not ((statement.reads and may_ask_again(error)) or misleads(error)):
                raise
        connection = await self.take(tenant_id, fresh=True)
        return await self._ask(connection, statement, values, not_after)

    async def _ask(
        self,
        connection: TenantConnection,
        statement: Statement,
        values: Mapping[str, Any],
        not_after: float | None,
    ) -> Sequence[asyncpg.Record]:
        """Run a statement and give the connection back.

        This is `exchange` of the connection, written out: each request has two of these.
        """
        if connection.begins_alone:
            return await self._ask_between(connection, statement, values, not_after)
        connection.since = time.monotonic()
        connection.waiting[connection] = 0
        try:
            answer = _answer(
                connection, statement, _arguments(connection, statement, values, not_after)
            )
            rows = await observe_statement(connection, statement.sql, answer)
        except BaseException as error:
            connection.note_failure(error)
            self.give_back(connection)
            raise
        connection.waiting.pop(connection, None)
        connection.heard_at = time.monotonic()
        self._keep(connection)  # a statement that ended well, outside a transaction
        count_rows(len(rows))
        return rows

    async def _ask_between(
        self,
        connection: TenantConnection,
        statement: Statement,
        values: Mapping[str, Any],
        not_after: float | None,
    ) -> Sequence[asyncpg.Record]:
        """Run it between BEGIN and COMMIT."""
        try:
            arguments = _arguments(connection, statement, values, not_after)
            return await connection.fetch(statement.sql, *arguments)
        finally:
            self.give_back(connection)

    async def take(self, tenant_id: UUID | None = None, *, fresh: bool = False) -> TenantConnection:
        """Raises TimeoutError when none comes free, and whatever connecting raises.

        A `fresh` one is for who has just lost another: the idle ones may be no better.
        """
        holders = self._holders(tenant_id)
        if not fresh and (connection := self._at_hand(holders)):
            return connection
        await self._places.take(holders, self._wait_seconds)
        try:
            connection = self._usable(fresh=fresh) or await self._opened()
        except BaseException:
            self._places.give_back(holders)
            raise
        connection.held_for = holders
        return connection

    def _at_hand(self, holders: Holders) -> TenantConnection | None:
        """Take one that is idle; None if there is none, or these have to wait for a place."""
        places = self._places
        if (places.turns or len(places.held) >= places.share) and not places.may_have(holders):
            return None
        connection = self._usable()
        if connection is not None:
            places.held.append(holders)
            connection.held_for = holders
        return connection

    def _holders(self, tenant_id: UUID | None) -> Holders:
        if tenant_id is None:
            return ()
        worker = self._shards and self._shards.worker_of(tenant_id)
        return (tenant_id,) if worker is None else (tenant_id, worker)

    def give_back(self, connection: TenantConnection) -> None:
        """Keep the connection, or close it if its state is unknown; then its place is free."""
        if connection.is_misled:
            self._renewed_at = time.monotonic()
        if connection.is_lost:
            self._lost_at = max(self._lost_at, connection.since)
        if connection.ending is not None and not connection.is_spoiled:
            self._closing.beside(self._let_end(connection, connection.ending))
            return
        if not self._is_fit(connection) or connection.is_in_transaction():
            self._closing.close(connection).add_done_callback(
                lambda _: self._places.give_back(connection.held_for)
            )
            return
        self._keep(connection)

    def _keep(self, connection: TenantConnection) -> None:
        self._idle.append(connection)
        if len(self._idle) > self._size:
            self._close_what_is_too_many()
        self._places.held.remove(connection.held_for)
        if self._places.turns:
            self._places.serve()

    async def _let_end(self, connection: TenantConnection, ending: asyncio.Future[None]) -> None:
        await let_end(connection, ending, self.ends_within_seconds)
        self.give_back(connection)

    def _close_what_is_too_many(self) -> None:
        """The one that has not been needed for longest is the first of the list."""
        if self._idle[0].heard_at + self.calm_seconds <= time.monotonic():
            self._closing.close(self._idle.pop(0))

    def _usable(self, *, fresh: bool = False) -> TenantConnection | None:
        """The one used last. What the server has closed meanwhile, the driver has noticed.

        One that is opened instead takes its place, so that there are never more than there may be.
        """
        while self._idle:
            connection = self._idle.pop()
            if not fresh and self._is_fit(connection):
                return connection
            self._closing.close(connection)
            if fresh:
                break
        return None

    def _is_fit(self, connection: TenantConnection) -> bool:
        oldest = time.monotonic() - self._recycle_seconds
        is_young = connection.opened_at > oldest and connection.opened_at > self._renewed_at
        is_heard = connection.heard_at >= self._lost_at
        return is_young and is_heard and not connection.is_spoiled and not connection.is_closed()

    async def _opened(self) -> TenantConnection:
        connection = await self._connect()
        connection.opened_at = time.monotonic()
        connection.is_patient = not connection.behind_pgbouncer
        self._shards = connection.shards or self._shards
        return connection

    def usage(self) -> Usage:
        return Usage(self._places.in_use, len(self._idle), self._places.waiting)

    async def dispose(self) -> None:
        """Closes what is idle, and waits for what is ending and closing."""
        while self._idle or self._closing.is_under_way:
            while self._idle:
                self._closing.close(self._idle.pop())
            await self._closing.wait()


def _arguments(
    connection: TenantConnection,
    statement: Statement,
    values: Mapping[str, Any],
    not_after: float | None,
) -> Sequence[Any]:
    """Put the values in the statement's order, and the deadline on its server's clock."""
    if not statement.has_deadline:
        return statement.in_order(values)
    deadline = None if not_after is None else server_time(connection, not_after)
    return statement.in_order({**values, "not_after": deadline})


def server_time(connection: TenantConnection, monotonic_seconds: float) -> datetime:
    """Return the server's clock at that moment of our monotonic clock, or a little less."""
    connection.last_deadline = monotonic_seconds
    return connection.epoch + timedelta(seconds=monotonic_seconds)


def _answer(
    connection: TenantConnection, statement: Statement, arguments: Sequence[Any]
) -> Awaitable[list[asyncpg.Record]]:
    """Have the driver run it, prepared: its own `fetch` would take twice as many steps."""
    prepared = connection.kept.get(statement.sql)
    if prepared is None:
        return connection.first(statement.sql, arguments)
    return prepared.fetch(*arguments)
