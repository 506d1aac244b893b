"""One connection to one database: how it is opened, what it carries, whom it refuses."""

from __future__ import annotations

import math
from asyncio import Future
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from typing import Any, Literal
from uuid import UUID

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from app.config.settings import Settings, SettingsError
from app.telemetry.statements import Link, count_rows, observed

DatabaseName = Literal["user", "general"]
DATABASES: tuple[DatabaseName, ...] = ("user", "general")
OLDEST_SERVER = 150_000
# A frozen server says nothing; this long after its own deadline we stop waiting for it.
GRACE_SECONDS = 2.0
GONE_AFTER = "1s"

# Also what it could become by SET ROLE.
LOGIN = """
SELECT current_setting('server_version_num')::int AS version,
       bool_or(rolsuper) AS rolsuper, bool_or(rolbypassrls) AS rolbypassrls,
       EXISTS (SELECT FROM pg_class
               WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
               AND pg_has_role(relowner, 'MEMBER')) AS owns
FROM pg_roles WHERE pg_has_role(oid, 'MEMBER')
"""


class TenantConnection(asyncpg.Connection):
    """Sends the tenant along with BEGIN: no round trip of its own, gone with the transaction.

    And its limits, where PgBouncer would refuse them of a connection that opens.
    All that is sent passes here, by SQLAlchemy (`prepare`, `execute`) or directly, and is counted.
    What asyncpg adds by itself when it first meets a statement or a type is not.
    """

    tenant_id: UUID | None = None
    database: DatabaseName = "user"
    echo: bool = False
    behind_pgbouncer: bool = False  # by PgBouncer, which gives out a server for one transaction
    limits: str = ""  # statements; see _locally
    expires_at: float = math.inf  # on the monotonic clock; see direct.py
    since: float = 0.0  # likewise, while somebody holds it; see breaker.py

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


def connector(settings: Settings, name: DatabaseName) -> Connect:
    """For the pools: opens connections as the service's login, which the first one checks."""
    checked = False

    async def connect(*_: Any, **__: Any) -> TenantConnection:
        nonlocal checked
        connection = await open_connection(settings, name)
        if not checked:
            await refuse_unsafe_login(connection, name)
            checked = True
        return connection

    return connect


def connect_args(settings: Settings, connect: Connect) -> dict[str, Any]:
    """What SQLAlchemy's dialect opens and uses connections with."""
    if settings.db_prepared_statements:
        return {"async_creator_fn": connect}
    return {  # by a name it would stay on a server that the next transaction may not get
        "async_creator_fn": connect,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": lambda: "",
    }


async def open_connection(
    settings: Settings, name: DatabaseName, *, owner: bool = False
) -> TenantConnection:
    url, limits = settings.url(name, owner=owner), _limits(settings)
    behind_pgbouncer = not settings.db_prepared_statements
    connection: TenantConnection = await asyncpg.connect(
        url.dsn,
        connection_class=TenantConnection,
        timeout=url.connect_timeout_seconds or settings.db_connect_timeout_seconds,
        command_timeout=settings.db_statement_timeout_seconds + GRACE_SECONDS,
        statement_cache_size=0 if behind_pgbouncer else 100,
        server_settings={"application_name": "bicameral", **({} if behind_pgbouncer else limits)},
    )
    connection.database = name
    connection.echo = settings.db_echo
    connection.behind_pgbouncer = behind_pgbouncer
    connection.limits = _locally(limits) if behind_pgbouncer else ""
    return connection


def _limits(settings: Settings) -> dict[str, str]:
    idle_seconds = settings.db_idle_in_transaction_seconds
    return {
        "jit": "off",  # compiling costs more than our short statements run
        "statement_timeout": _milliseconds(settings.db_statement_timeout_seconds),
        "lock_timeout": _milliseconds(settings.db_lock_timeout_seconds),
        "idle_in_transaction_session_timeout": _milliseconds(idle_seconds),
    }


def _locally(limits: dict[str, str]) -> str:
    more = {**limits, "client_connection_check_interval": GONE_AFTER}
    return "".join(f" SET LOCAL {name} = '{value}';" for name, value in more.items())


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))


async def refuse_unsafe_login(connection: TenantConnection, name: DatabaseName) -> None:
    """Row level security holds for neither a superuser, nor BYPASSRLS, nor a tables' owner.

    Raises SettingsError, and for a server older than PostgreSQL 15 too. Closes the connection.
    """
    row = await connection.fetchrow(LOGIN)
    reason = _unsafe(row, f"DATABASE_URL_{name.upper()}")
    if reason:
        await connection.close()
        raise SettingsError(reason)


def _unsafe(row: asyncpg.Record | None, variable: str) -> str | None:
    if row is None or row["version"] < OLDEST_SERVER:
        return f"{variable}: the server is older than PostgreSQL 15"
    if row["rolsuper"] or row["rolbypassrls"]:
        kind = "a superuser" if row["rolsuper"] else "BYPASSRLS"
        return f"{variable}: the login is {kind}; give the service a login that is not"
    if row["owns"]:
        return f"{variable}: the login owns the tables; use the runtime login, and {variable}_OWNER"
    return None
