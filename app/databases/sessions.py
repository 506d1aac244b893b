"""The two databases: a declarative base, an Advanced Alchemy config and a typed session each.

The only file with a commit (a statement of direct.py commits by itself). A request's session is a
dependency that commits when the handler has returned and before the response starts, so a 2xx is
committed; an error on the way, COMMIT's own included, reaches the error handler. One request writes
one database: of two generator dependencies in a request, Litestar would lose the second's error.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar, cast
from uuid import UUID

import sqlalchemy as sa
from advanced_alchemy.base import CommonTableAttributes, metadata_registry
from advanced_alchemy.config import (
    AlembicAsyncConfig,
    AsyncSessionConfig,
    EngineConfig,
    SQLAlchemyAsyncConfig,
)
from asyncpg import Record
from litestar import Request
from litestar.di import Provide
from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Session, SessionTransaction

from app.config.paths import ROOT
from app.config.settings import Settings
from app.databases.breaker import Breaker, asking
from app.databases.connection import Connect, DatabaseName, connect_args, connector, set_tenant
from app.databases.direct import DirectPool, Statement
from app.databases.pool import ElasticPool, elastic_pool, watch
from app.databases.turns import Turns
from app.telemetry import log
from app.telemetry.pools import Usage

type_annotations: dict[Any, Any] = {
    UUID: sa.Uuid(),
    datetime: sa.DateTime(timezone=True),
    str: sa.Text(),
}


class UserBase(CommonTableAttributes, DeclarativeBase):
    """Tables of the user database. Each base has a registry of its own (no name crosses over)."""

    __abstract__ = True
    __bind_key__: ClassVar[str] = "user"
    metadata = metadata_registry.get("user")
    type_annotation_map = type_annotations


class GeneralBase(CommonTableAttributes, DeclarativeBase):
    """Tables of the general database."""

    __abstract__ = True
    __bind_key__: ClassVar[str] = "general"
    metadata = metadata_registry.get("general")
    type_annotation_map = type_annotations


class _TenantSession(Session):
    """Row level security sees the tenant in `session.info`, for this transaction only."""


@event.listens_for(_TenantSession, "after_begin")
def _carry_tenant(session: Session, _: SessionTransaction, connection: Connection) -> None:
    # BEGIN itself is sent with the first statement, so this costs no round trip.
    connection.connection.driver_connection.tenant_id = session.info.get("tenant_id")  # type: ignore[union-attr]  # see connection.connector


class UserSession(AsyncSession):
    """A session on the user database."""

    sync_session_class = _TenantSession


class GeneralSession(AsyncSession):
    """A session on the general database."""

    sync_session_class = _TenantSession


S = TypeVar("S", bound=AsyncSession)


async def act_in_tenant(session: UserSession | GeneralSession, tenant_id: UUID) -> None:
    """From here to the end of the transaction the session sees this tenant's rows, no others."""
    session.info["tenant_id"] = tenant_id
    await session.execute(sa.text(set_tenant(tenant_id)))


@dataclass(frozen=True)
class Database(Generic[S]):
    """One database: its engine and its unit of work."""

    name: DatabaseName
    config: SQLAlchemyAsyncConfig
    maker: async_sessionmaker[S]
    direct: DirectPool
    turns: Turns
    behind_pgbouncer: bool  # by PgBouncer

    @property
    def engine(self) -> AsyncEngine:
        return self.config.get_engine()

    @asynccontextmanager
    async def session(self, tenant_id: UUID | None = None) -> AsyncGenerator[S]:
        """A transaction in the tenant: returning commits, raising or cancelling rolls back."""
        async with self.maker(bind=self.engine, info={"tenant_id": tenant_id}) as session:
            yield session
            await session.commit()

    @asynccontextmanager
    async def one_statement(self) -> AsyncGenerator[AsyncConnection]:
        """For one statement that needs no transaction: a single round trip, in no tenant."""
        level = {} if self.behind_pgbouncer else {"isolation_level": "AUTOCOMMIT"}
        async with self.engine.execution_options(**level).begin() as one:
            yield one

    async def fetch(self, statement: Statement, values: Mapping[str, Any]) -> Sequence[Record]:
        """One statement that is a transaction of its own, committed in one round trip."""
        return await self.direct.fetch(statement, values)

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
    config = _config(settings, name, connect)
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


def _config(settings: Settings, name: DatabaseName, connect: Connect) -> SQLAlchemyAsyncConfig:
    return SQLAlchemyAsyncConfig(
        connection_string="postgresql+asyncpg://",
        bind_key=name,
        session_config=AsyncSessionConfig(expire_on_commit=False),
        engine_config=_engine_config(settings, connect),
        alembic_config=AlembicAsyncConfig(
            script_config=str(ROOT / "alembic.ini"),
            script_location=str(ROOT / "migrations"),
            toml_file=str(ROOT / "migrations" / f"{name}.toml"),  # which of the two chains
            version_table_name="alembic_version",
            render_as_batch=False,
            compare_type=True,
        ),
    )


def _engine_config(settings: Settings, connect: Connect) -> EngineConfig:
    return EngineConfig(
        connect_args=connect_args(settings, connect),
        poolclass=elastic_pool(settings.db_pool_size),
        pool_size=settings.db_pool_size + settings.db_max_overflow,
        max_overflow=0,
        pool_timeout=settings.db_pool_timeout,  # type: ignore[arg-type]  # the pool takes a float
        pool_recycle=settings.db_pool_recycle_seconds,
        pool_use_lifo=True,
        hide_parameters=True,
    )
