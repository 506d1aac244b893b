"""One connection to one database, and what it carries."""

from __future__ import annotations

import math
import time
from asyncio import Future
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from app.telemetry.statements import Link, count_rows, observed

DatabaseName = Literal["user", "general"]
DATABASES: tuple[DatabaseName, ...] = ("user", "general")


class TenantConnection(asyncpg.Connection):
    """Sends the tenant along with BEGIN: no round trip of its own, gone with the transaction.

    And its limits, where PgBouncer would refuse them of a connection that opens.
    All that is sent passes here, by SQLAlchemy (`prepare`, `execute`) or directly, and is counted.
    What asyncpg adds by itself when it first meets a statement or a type is not.
    """

    tenant_id: UUID | None = None
    database: DatabaseName = "user"
    echo: bool = False
    behind_pgbouncer: bool = False  # which gives out a server for one transaction
    limits: str = ""  # statements; see opening.py
    expires_at: float = math.inf  # on the monotonic clock; see direct.py
    since: float = 0.0  # likewise, while somebody holds it; see breaker.py
    _clock: tuple[datetime, float] | None = None  # the server's, and ours when it arrived

    async def execute(  # the driver's own signature
        self,
        query: str,
        *args: Any,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> str:
        if query.startswith("BEGIN"):
            tenant = "" if self.tenant_id is None else f" {set_tenant(self.tenant_id)};"
            query = f"{query}{self.limits}{tenant}"
        exchange = super().execute(query, *args, timeout=timeout)
        return await observed(self, query, exchange)

    async def fetch(self, query: str, *args: Any, **options: Any) -> list[Any]:
        async with self._one_server():
            exchange = super().fetch(query, *args, **options)
            rows = await observed(self, query, exchange)
        count_rows(len(rows))
        return rows

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        async with self._one_server():
            exchange = super().fetchrow(query, *args, **options)
            row = await observed(self, query, exchange)
        count_rows(row is not None)
        return row

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        async with self._one_server():
            exchange = super().fetchval(query, *args, **options)
            value = await observed(self, query, exchange)
        count_rows(value is not None)
        return value

    async def prepare(self, query: str, **options: Any) -> Any:
        exchange = super().prepare(query, **options)
        statement = await observed(self, query, exchange)
        return ObservedStatement(statement, self, query)

    async def read_clock(self) -> None:
        """Reads the server's clock once, for server_time."""
        async with self._one_server():
            now: datetime = await super().fetchval("SELECT clock_timestamp()")
        self._clock = now, time.monotonic()

    def server_time(self, monotonic_seconds: float) -> datetime:
        """What the server's clock shows at that moment of our monotonic clock, or a little less.

        Less by the time its answer took to arrive: a deadline made from it never ends too late.
        """
        if self._clock is None:
            raise RuntimeError("the server's clock was not read when this connection was opened")
        now, received = self._clock
        return now + timedelta(seconds=monotonic_seconds - received)

    def _one_server(self) -> AbstractAsyncContextManager[object]:
        """Outside a transaction PgBouncer may have one prepare the statement and another run it."""
        if self.behind_pgbouncer and not self.is_in_transaction():
            return self._transaction()
        return nullcontext()

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.transaction())
            try:
                yield
            except asyncpg.PostgresError:  # the server's own answer
                raise
            except BaseException:
                stack.pop_all()  # it ends with the connection
                self.terminate()
                raise

    def _cancel_current_command(self, waiter: Future[None], *more: Any) -> None:
        """The driver asks the server to stop what was given up. PgBouncer 1.18 to 1.20 may die of
        that request (its issues 801 and 822), so there we go: it then leaves the server as well,
        which looks for that once in GONE_AFTER and stops.
        """
        if self.behind_pgbouncer:
            waiter.set_result(None)
            self._loop.call_soon(self.terminate)  # the driver is not through with it yet
        else:
            driver: Any = super()  # its types leave this out
            driver._cancel_current_command(waiter, *more)

    def give_up(self) -> None:
        """Whoever waits for an answer on it gets an error, and the pool makes another one."""
        self.terminate()


class ObservedStatement:
    """A prepared statement, as far as SQLAlchemy uses one."""

    def __init__(self, statement: PreparedStatement[Any], link: Link, query: str) -> None:
        self._statement = statement
        self._link = link
        self._query = query
        self.get_attributes = statement.get_attributes
        self.get_statusmsg = statement.get_statusmsg

    async def fetch(self, *args: Any) -> list[Any]:
        rows = await observed(self._link, self._query, self._statement.fetch(*args))
        count_rows(len(rows))
        return rows


Connect = Callable[..., Awaitable[TenantConnection]]


def set_tenant(tenant_id: UUID) -> str:
    """The one statement that names a tenant; only a UUID object's own text ever enters it."""
    return f"SET LOCAL app.tenant_id = '{UUID(int=tenant_id.int)}'"
