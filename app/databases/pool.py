"""The pool of one database's connections, beneath sessions and single statements alike.

It is not asyncpg's, which lets a prepared statement die with each release, so that every session
would prepare its own anew, and takes twice the time for a statement (80 instead of 40 µs).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Hashable, Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from app.config.settings import Settings
from app.databases.causes import may_ask_again, misleads
from app.databases.closing import ENDS_WITHIN_SECONDS, Closing, let_end
from app.databases.connection import Connect, Holders, TenantConnection
from app.databases.shards import Shards
from app.databases.statement import Statement
from app.telemetry.pools import Usage

CALM_SECONDS = 5.0


class Pool:
    """Keeps DB_POOL_SIZE connections, and up to DB_MAX_OVERFLOW more while the load lasts.

    Connections are opened when they are needed; whoever finds none free queues. Places tells how
    many of them one tenant, or one worker of Citus, may have.
    """

    def __init__(self, connect: Connect, settings: Settings) -> None:
        self._connect = connect
        self._settings = settings
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
        try:
            return await self._fetch(statement, values, not_after)
        except Exception as error:
            # A server that takes no writes has done nothing; another connection may lead elsewhere.
            if not ((statement.reads and may_ask_again(error)) or misleads(error)):
                raise
        return await self._fetch(statement, values, not_after, fresh=True)

    async def _fetch(
        self,
        statement: Statement,
        values: Mapping[str, Any],
        not_after: float | None,
        *,
        fresh: bool = False,
    ) -> Sequence[asyncpg.Record]:
        connection = await self.take(values.get("tenant_id"), fresh=fresh)
        try:
            if statement.has_deadline:
                deadline = None if not_after is None else connection.server_time(not_after)
                values = {**values, "not_after": deadline}
            return await connection.fetch(statement.sql, *statement.in_order(values))
        finally:
            self.give_back(connection)

    async def take(self, tenant_id: UUID | None = None, *, fresh: bool = False) -> TenantConnection:
        """Raises TimeoutError when none comes free, and whatever connecting raises.

        A `fresh` one is for who has just lost another: the idle ones may be no better.
        """
        holders = self._holders(tenant_id)
        await self._places.take(holders, self._settings.db_pool_timeout)
        try:
            connection = self._usable(fresh) or await self._opened()
        except BaseException:
            self._places.give_back(holders)
            raise
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
        connection.used_at = time.monotonic()
        self._idle.append(connection)
        self._close_what_is_too_many(connection.used_at)
        self._places.give_back(connection.held_for)

    async def _let_end(self, connection: TenantConnection, ending: asyncio.Future[None]) -> None:
        await let_end(connection, ending, self.ends_within_seconds)
        self.give_back(connection)

    def _close_what_is_too_many(self, now: float) -> None:
        """The one that has not been needed for longest is the first of the list."""
        is_unneeded = self._idle[0].used_at + self.calm_seconds <= now
        if is_unneeded and len(self._idle) > self._settings.db_pool_size:
            self._closing.close(self._idle.pop(0))

    def _usable(self, fresh: bool) -> TenantConnection | None:
        """The one used last. What the server has closed meanwhile, the driver has noticed.

        One that is opened instead takes its place, so that there are never more than there may be.
        """
        while self._idle:
            connection = self._idle.pop()
            if self._is_fit(connection) and not fresh:
                return connection
            self._closing.close(connection)
            if fresh:
                break
        return None

    def _is_fit(self, connection: TenantConnection) -> bool:
        oldest = time.monotonic() - self._settings.db_pool_recycle_seconds
        is_young = connection.opened_at > max(oldest, self._renewed_at)
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


class Turn:
    """Waits for a place."""

    def __init__(self, holders: Holders) -> None:
        self.holders = holders
        self.came: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Places:
    """Shares out `most` connections, so that no holder's statements can spend them all.

    A tenant has half of them, and so have all tenants of one worker together. While nobody else
    waits a holder may have more, yet never the last quarter: what it holds, behind a lock or on a
    server that hangs, cannot be taken back. Work that is for no tenant is bounded by the pool
    alone. Who waits is served in order, within shares.
    """

    def __init__(self, most: int) -> None:
        self.in_use = 0
        self._most = most
        self._share = -(-most // 2)
        self._alone = most - most // 4
        self._held = Counter[Hashable]()
        self._turns: deque[Turn] = deque()

    @property
    def waiting(self) -> int:
        return len(self._turns)

    async def take(self, holders: Holders, seconds: float) -> None:
        """Raises TimeoutError when no place comes free."""
        if self._may_have(holders):
            self._count(holders, 1)
        else:
            await self._wait(Turn(holders), seconds)

    def give_back(self, holders: Holders) -> None:
        self._count(holders, -1)
        self._serve()

    def _may_have(self, holders: Holders) -> bool:
        """Tell whether there is a place for these, which those who wait could not take."""
        return self.in_use < self._most and all(map(self._may_hold_more, holders))

    def _may_hold_more(self, holder: Hashable) -> bool:
        held = self._held[holder]
        if held < self._share:
            return True
        return held < self._alone and all(holder in turn.holders for turn in self._turns)

    def _count(self, holders: Holders, number: int) -> None:
        self.in_use += number
        for holder in holders:
            self._held[holder] += number
            if not self._held[holder]:
                del self._held[holder]

    async def _wait(self, turn: Turn, seconds: float) -> None:
        self._turns.append(turn)
        try:
            async with asyncio.timeout(seconds):
                await turn.came
        except BaseException:
            self._leave(turn)
            raise

    def _leave(self, turn: Turn) -> None:
        if turn in self._turns:
            self._turns.remove(turn)
            self._serve()  # those who had to wait while this one did
        else:  # the place came just now, and nobody is there to use it
            self.give_back(turn.holders)

    def _serve(self) -> None:
        for turn in [*self._turns]:
            if self.in_use >= self._most:
                return
            if not turn.came.cancelled() and self._may_have(turn.holders):
                self._turns.remove(turn)
                self._count(turn.holders, 1)
                turn.came.set_result(None)
