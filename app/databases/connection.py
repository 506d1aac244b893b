"""One connection to one database: what it sends along, and what is known of its server."""

from __future__ import annotations

import time
from asyncio import BaseTransport, CancelledError, Future
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from socket import socket
from typing import Any, Literal, Protocol, TypeVar, cast
from uuid import UUID

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from app.databases.causes import LOOK_UP_TOO_OLD, is_of_the_server, may_ask_again, misleads
from app.databases.prepared import PreparedStatements
from app.databases.shards import Shards
from app.telemetry.requests import count_rows, observe_statement

T = TypeVar("T")
DatabaseName = Literal["user", "general"]
DATABASES: tuple[DatabaseName, ...] = ("user", "general")
SERVER_STATE = """
SELECT clock_timestamp() AS now, current_setting('transaction_read_only') = 'on' AS is_read_only,
       pid, backend_start FROM pg_stat_get_activity(pg_backend_pid())
"""
Holders = tuple[Hashable, ...]  # a tenant, and on Citus the worker that has its rows
Backend = tuple[int, datetime]  # the process's id, which is used again, and its start


class Waiting(Protocol):
    """Whatever waits for the server's answer."""

    def give_up(self) -> None: ...


class TenantConnection(asyncpg.Connection):
    """Sends the tenant along with BEGIN: no round trip of its own, gone with the transaction.

    Where PgBouncer would refuse the limits of a connection that opens, BEGIN brings them, too.
    Every exchange passes here and is counted; what asyncpg adds by itself when it first meets a
    statement or a type is not.
    """

    database: DatabaseName = "user"
    echo: bool = False
    behind_pgbouncer: bool = False  # which gives out a server for one transaction
    # A statement alone gets BEGIN and COMMIT: for PgBouncer, so that the server that prepares it
    # runs it, and for Citus, which hands SET LOCAL on to its workers only between these two.
    begins_alone: bool = False
    held_for: Holders = ()  # whom the pool has lent it to
    shards: Shards | None = None  # of Citus, as they were when it was opened
    backend: Backend | None = None  # unless a pooler gives out several
    limits: str = ""  # statements; see opening.py
    since: float = 0.0  # when the exchange under way began; like all of these, on our own clock
    opened_at: float = 0.0
    heard_at: float = 0.0  # the last answer
    is_patient: bool = False  # of the pool's: a statement that is given up may end by itself
    ending: Future[None] | None = None  # and this tells when it has
    # An exchange was cut short, and what would come next is unknown; or its server is not, or no
    # longer, the one that should serve: read-only, failing, or without our database. The pool
    # closes such a connection when it comes back.
    is_spoiled: bool = False
    is_misled: bool = False  # and every connection that is as old is no better
    is_lost: bool = False  # closed under way: what was not heard of since is likely to be, too
    # The server's clock when ours was zero, or a little less: by the time that its answer took to
    # arrive. So a deadline made from it never ends too late; before it is read, each is over.
    epoch: datetime = datetime.min.replace(tzinfo=UTC)
    last_deadline: float = 0.0

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.waiting: dict[Waiting, int] = {}  # all that wait for this server; see breaker.py
        self.prepared = PreparedStatements(self)
        self.kept: dict[str, PreparedStatement[Any]] = {}  # the pool's own, by their text

    async def begin(self, tenant_id: UUID | None, *, isolation: str | None = None) -> None:
        """One round trip for BEGIN and the tenant. If it fails the connection is spoiled."""
        level = f" ISOLATION LEVEL {isolation.replace('_', ' ')}" if isolation else ""
        tenant = "" if tenant_id is None else f" {set_tenant(tenant_id)};"
        try:
            await self.execute(f"BEGIN{level};{tenant}")
        except BaseException:
            self.is_spoiled = True  # BEGIN itself may have succeeded
            raise

    async def send_commit(self) -> None:
        """Raises InFailedSQLTransactionError when the server rolled back instead."""
        if await self.execute("COMMIT;") != "COMMIT":
            raise asyncpg.InFailedSQLTransactionError("COMMIT was answered with ROLLBACK")

    async def send_rollback(self) -> None:
        await self.execute("ROLLBACK;")

    async def execute(  # the driver's own signature
        self,
        query: str,
        *args: Any,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> str:
        if query.startswith("BEGIN"):
            query += self.limits
        return await self.exchange(query, super().execute(query, *args, timeout=timeout))

    async def fetch(self, query: str, *args: Any, **options: Any) -> list[Any]:
        async with self._in_transaction():
            rows = await self.exchange(query, super().fetch(query, *args, **options))
        count_rows(len(rows))
        return rows

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        async with self._in_transaction():
            row = await self.exchange(query, super().fetchrow(query, *args, **options))
        count_rows(row is not None)
        return row

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        async with self._in_transaction():
            value = await self.exchange(query, super().fetchval(query, *args, **options))
        count_rows(value is not None)
        return value

    async def executemany(self, command: str, args: Any, **options: Any) -> None:
        await self.exchange(command, super().executemany(command, args, **options))

    async def first(self, query: str, arguments: Sequence[Any]) -> list[Any]:
        """Prepare a statement of the pool's, which comes again and again, and run it."""
        prepared = self.kept[query] = await self.prepare(query)
        return await prepared.fetch(*arguments)

    async def exchange(self, query: str, answer: Awaitable[T]) -> T:
        self.since = time.monotonic()
        self.waiting[self] = 0
        try:
            result = await observe_statement(self, query, answer)
        except BaseException as error:
            self.note_failure(error)
            raise
        self.waiting.pop(self, None)
        self.heard_at = time.monotonic()
        return result

    def note_failure(self, error: BaseException) -> None:
        """Note what an exchange that failed tells of this connection, and of its server."""
        self.waiting.pop(self, None)
        match error:
            case asyncpg.PostgresError():  # the server's own answer
                self.is_misled |= misleads(error) or self._has_wrong_clock(error)
                self.is_spoiled |= self.is_misled or is_of_the_server(error.sqlstate or "")
                self.is_lost |= self.is_closed()
            case CancelledError():
                # Of the pool's outside a transaction nothing is under way, or `ending` tells when.
                self.is_spoiled |= not self.is_patient or self.is_in_transaction()
            case _:
                self.is_spoiled = True
                self.is_lost |= self.is_closed() and may_ask_again(error)

    def _has_wrong_clock(self, error: asyncpg.PostgresError) -> bool:
        """Tell that the server's clock was set forward: it calls late what is not late by ours."""
        is_late = error.sqlstate == LOOK_UP_TOO_OLD
        return is_late and time.monotonic() < self.last_deadline

    async def read_state(self) -> None:
        """Read the server's clock, for deadlines, whether it takes writes, and who serves us.

        A session that began read-only stays so after a fail-over has ended, so it serves one time.
        """
        async with self._in_transaction():
            row: Any = await super().fetchrow(SERVER_STATE)
            self.heard_at = time.monotonic()
        self.epoch = row["now"] - timedelta(seconds=self.heard_at)
        self.is_spoiled = row["is_read_only"]
        # A pooler makes up the process that it names when a connection is opened.
        if not self.behind_pgbouncer and row["pid"] == self.get_server_pid():
            self.backend = row["pid"], row["backend_start"]

    def _in_transaction(self) -> AbstractAsyncContextManager[object]:
        """Send BEGIN and COMMIT around a statement, where it must not stand alone."""
        if self.begins_alone and not self.is_in_transaction():
            return self._transaction()
        return nullcontext()

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[None]:
        await self.begin(None)
        try:
            yield
        except asyncpg.PostgresError:  # the server's own answer
            await self.send_rollback()
            raise
        except BaseException:
            self.terminate()  # the transaction ends with the connection
            raise
        await self.send_commit()

    def _cancel_current_command(self, sent: Future[None], ended: Future[None]) -> None:
        """The driver asks the server to stop what was given up; outside a transaction the pool
        first lets it end by itself. PgBouncer 1.18 to 1.20 may die of that request (its issues 801
        and 822), so there we go: it then leaves the server as well, which looks for that once in
        GONE_AFTER and stops.
        """
        if self.behind_pgbouncer:
            sent.set_result(None)
            self._loop.call_soon(self.terminate)  # the driver is not through with it yet
        elif self.is_patient and not self.is_in_transaction():
            sent.set_result(None)
            self.ending = ended
        else:
            self._stop(sent, ended)

    def stop_what_is_ending(self) -> None:
        if self.ending is not None and not self.ending.done():
            self._stop(self._loop.create_future(), self.ending)

    def _stop(self, sent: Future[None], ended: Future[None]) -> None:
        driver: Any = super()  # its types leave this out
        driver._cancel_current_command(sent, ended)

    @property
    def line(self) -> socket:
        transport: BaseTransport = cast("Any", self)._transport  # asyncpg shows it to nobody
        return transport.get_extra_info("socket")

    def give_up(self) -> None:
        """Whoever waits for an answer on it gets an error, and the pool makes another one."""
        self.terminate()


Connect = Callable[..., Awaitable[TenantConnection]]


def set_tenant(tenant_id: UUID) -> str:
    """The one statement that names a tenant; only a UUID object's own text ever enters it."""
    return f"SET LOCAL app.tenant_id = '{UUID(int=tenant_id.int)}'"
