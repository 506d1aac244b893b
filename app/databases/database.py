"""The two databases: each with its sessions, and its statements that need none."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic
from uuid import UUID

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, async_sessionmaker

from app.config.settings import Settings, SettingsError
from app.databases.breaker import Breaker
from app.databases.config import DatabaseConfig, database_config
from app.databases.connection import DatabaseName
from app.databases.pool import Pool
from app.databases.refusals import reason, refusal
from app.databases.sessions import GeneralSession, S, UserSession, committed
from app.databases.statement import Fetch
from app.telemetry import log
from app.telemetry.pools import Usage


@dataclass(frozen=True)
class Database(Generic[S]):
    """One database. Sessions and statements share one pool of connections."""

    name: DatabaseName
    engine: AsyncEngine
    maker: async_sessionmaker[S]
    pool: Pool
    fetch: Fetch  # the pool's
    breaker: Breaker
    behind_pgbouncer: bool

    def session(self, tenant_id: UUID | None = None) -> AbstractAsyncContextManager[S]:
        """A transaction in the tenant: returning commits, raising or cancelling rolls back."""
        return committed(self.maker, self.engine, tenant_id)

    @asynccontextmanager
    async def one_statement(self) -> AsyncGenerator[AsyncConnection]:
        """Lend a connection for a statement without transaction: one round trip, no tenant."""
        level = {} if self.behind_pgbouncer else {"isolation_level": "AUTOCOMMIT"}
        async with self.engine.execution_options(**level).begin() as one:
            yield one

    @property
    def is_silent(self) -> bool:
        """The database is given up on until it answers: whoever needs it is refused."""
        return self.breaker.is_open

    async def connect(self) -> None:
        """The first time, SQLAlchemy asks the server what it is; later this does nothing.

        Raises SettingsError for a login or a server the service must not run with.
        """
        async with self.engine.connect():
            pass

    async def dispose(self) -> None:
        """Closes the connections; whoever asks next opens new ones."""
        await self.pool.dispose()


@dataclass(frozen=True)
class Databases:
    """Both, as `app.state.databases`."""

    user: Database[UserSession]
    general: Database[GeneralSession]
    standby: Database[GeneralSession] | None = None  # of the general one
    _away: dict[str, str] = field(default_factory=dict[str, str], init=False)

    @classmethod
    def create(cls, settings: Settings) -> Databases:
        user = database_config(settings, bind_key="user", session_class=UserSession)
        general = database_config(settings, bind_key="general", session_class=GeneralSession)
        return cls.opened(settings, user, general)

    @classmethod
    def opened(
        cls,
        settings: Settings,
        user: DatabaseConfig[UserSession],
        general: DatabaseConfig[GeneralSession],
    ) -> Databases:
        """Open what is configured; nothing connects before the first session or statement."""
        standby = _open_standby(settings)
        return cls(open_database(user, settings), open_database(general, settings), standby)

    @property
    def usages(self) -> dict[str, Callable[[], Usage]]:
        return {one.name: one.pool.usage for one in (self.user, self.general)}

    @property
    def for_exports(self) -> Database[GeneralSession]:
        """The general database, or its standby: what was just written may not be there yet."""
        return self.standby or self.general

    async def dispose(self) -> None:
        for one in (self.user, self.general, self.standby):
            if one is not None:
                await one.dispose()

    async def check(self) -> None:
        """Connect to each. One that is away is logged and waited for by whoever needs it.

        Raises SettingsError for a login or a server the service must not run with, and where the
        server itself says that these settings will never do.
        """
        await self._check("user", self.user)
        await self._check("general", self.general)
        if self.standby is not None:
            await self._check("general_read", self.standby)

    async def _check(self, name: str, database: Database[Any]) -> None:
        try:
            await database.connect()
        except (OSError, DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            if words := refusal(error):
                raise SettingsError(f"DATABASE_URL_{name.upper()}: {words}") from None
            self.note_away(name, error)

    def note_away(self, name: str, error: BaseException) -> None:
        """Log why a database is away, once for each reason."""
        words = reason(error)
        if self._away.get(name) != words:
            self._away[name] = words
            log.warning("database_away", database=name, error=type(error).__name__, reason=words)

    def note_there(self, name: DatabaseName) -> None:
        self._away.pop(name, None)


def _open_standby(settings: Settings) -> Database[GeneralSession] | None:
    """Open what reads from the general database's standby, if there is one."""
    if settings.database_url_general_read is None:
        return None
    url = {"database_url_general": settings.database_url_general_read}
    there = settings.model_copy(update=url)
    config = database_config(
        there, bind_key="general", session_class=GeneralSession, reads_only=True
    )
    return open_database(config, there)


def open_database(config: DatabaseConfig[S], settings: Settings) -> Database[S]:
    return Database(
        name=config.name,
        engine=config.get_engine(),
        maker=async_sessionmaker(class_=config.session_class, expire_on_commit=False),
        pool=config.pool,
        fetch=config.pool.fetch,
        breaker=config.breaker,
        behind_pgbouncer=not settings.db_prepared_statements,
    )
