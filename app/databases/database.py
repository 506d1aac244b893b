"""The two databases: each with its sessions, and its statements that need none."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, cast
from uuid import UUID

from advanced_alchemy.config import SQLAlchemyAsyncConfig
from asyncpg import Record
from litestar import Request
from litestar.di import Provide
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, async_sessionmaker

from app.config.settings import Settings
from app.databases.breaker import Breaker, asking
from app.databases.config import database_config
from app.databases.connection import DatabaseName
from app.databases.direct import DirectPool, Statement
from app.databases.opening import connector
from app.databases.pool import ElasticPool, watch
from app.databases.sessions import GeneralSession, S, UserSession, committed
from app.databases.turns import Turns
from app.telemetry import log
from app.telemetry.pools import Usage


@dataclass(frozen=True)
class Database(Generic[S]):
    """One database: its engine and its unit of work."""

    name: DatabaseName
    config: SQLAlchemyAsyncConfig
    maker: async_sessionmaker[S]
    direct: DirectPool
    turns: Turns
    behind_pgbouncer: bool

    @property
    def engine(self) -> AsyncEngine:
        return self.config.get_engine()

    def session(self, tenant_id: UUID | None = None) -> AbstractAsyncContextManager[S]:
        """A transaction in the tenant: returning commits, raising or cancelling rolls back."""
        return committed(self.maker, self.engine, tenant_id)

    @asynccontextmanager
    async def one_statement(self) -> AsyncGenerator[AsyncConnection]:
        """For one statement that needs no transaction: a single round trip, in no tenant."""
        level = {} if self.behind_pgbouncer else {"isolation_level": "AUTOCOMMIT"}
        async with self.engine.execution_options(**level).begin() as one:
            yield one

    async def fetch(
        self, statement: Statement, values: Mapping[str, Any], *, not_after: float | None = None
    ) -> Sequence[Record]:
        """One statement that is a transaction of its own, committed in one round trip.

        A parameter `:not_after` gets the deadline, a moment of our monotonic clock, in the clock of
        the very server that runs the statement; NULL when there is none.
        """
        return await self.direct.fetch(statement, values, not_after)

    def usage(self) -> Usage:
        """Of both pools: the sessions' and the hot routes'."""
        pool = cast("ElasticPool", self.engine.pool)  # an engine's pool is new once disposed
        sessions = Usage(pool.checkedout(), pool.checkedin(), pool.waiting)
        return sessions + self.direct.usage()

    async def dispose(self) -> None:
        """Closes the connections; whoever asks next opens new ones."""
        await self.engine.dispose()
        await self.direct.dispose()


@dataclass(frozen=True)
class Databases:
    """Both, as `app.state.databases`."""

    user: Database[UserSession]
    general: Database[GeneralSession]

    @classmethod
    def create(cls, settings: Settings) -> Databases:
        return cls(
            _database(settings, "user", UserSession),
            _database(settings, "general", GeneralSession),
        )

    @property
    def usages(self) -> dict[str, Callable[[], Usage]]:
        return {one.name: one.usage for one in (self.user, self.general)}

    async def dispose(self) -> None:
        await self.user.dispose()
        await self.general.dispose()

    async def check(self) -> None:
        """Connects to each. One that is away is logged and waited for by whoever needs it.

        Raises SettingsError for a login or a server the service must not run with.
        """
        for database in (self.user, self.general):
            try:
                async with database.one_statement():
                    pass
            except (OSError, TimeoutError, DBAPIError) as error:
                log.warning("database_away", database=database.name, error=type(error).__name__)

    def dependencies(self) -> dict[str, Provide]:
        """`user_session` and `general_session`: a handler takes one of them, never both."""

        async def user_session(request: Request[Any, Any, Any]) -> AsyncGenerator[UserSession]:
            async with self.user.session(_tenant_of(request)) as session:
                yield session

        async def general_session(
            request: Request[Any, Any, Any],
        ) -> AsyncGenerator[GeneralSession]:
            async with self.general.session(_tenant_of(request)) as session:
                yield session

        return {
            "user_session": Provide(user_session),
            "general_session": Provide(general_session),
        }


def _database(settings: Settings, name: DatabaseName, session_class: type[S]) -> Database[S]:
    breaker = Breaker(name, asking(settings, name), patience_seconds=settings.db_silence_seconds)
    connect = breaker.guard(connector(settings, name))
    config = database_config(settings, name, connect)
    pool = config.get_engine().sync_engine.pool
    watch(pool, breaker)
    # expire_on_commit would make reading an attribute after COMMIT a lazy load.
    maker = async_sessionmaker(class_=session_class, expire_on_commit=False)
    direct = DirectPool(connect, breaker, settings)
    turns = Turns(settings.db_lock_timeout_seconds)
    behind_pgbouncer = not settings.db_prepared_statements
    return Database(name, config, maker, direct, turns, behind_pgbouncer=behind_pgbouncer)


def _tenant_of(request: Request[Any, Any, Any]) -> UUID | None:
    scope: dict[str, Any] = cast("dict[str, Any]", request.scope)
    principal = scope.get("user")  # there is none before login
    return None if principal is None else principal.tenant_id
