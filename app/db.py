"""The two databases: a declarative base, an Advanced Alchemy config and a typed session each.

The only file that commits. A request's session is a dependency that commits when the handler has
returned and before the response starts, so a 2xx is committed; an error on the way, COMMIT's own
included, reaches the error handler. One request writes one database: with two generator
dependencies in one request Litestar would lose the second one's error.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, cast
from uuid import UUID

import sqlalchemy as sa
from advanced_alchemy.base import CommonTableAttributes, metadata_registry
from advanced_alchemy.extensions.litestar import (
    AlembicAsyncConfig,
    AsyncSessionConfig,
    EngineConfig,
    SQLAlchemyAsyncConfig,
)
from litestar import Request
from litestar.di import Provide
from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Session, SessionTransaction
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from app.connection import DatabaseName, TenantConnection, connector, set_tenant
from app.settings import Settings
from app.telemetry import log
from app.telemetry.pools import WatchedPool

ROOT = Path(__file__).parents[1]

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
    async def autocommit(self) -> AsyncGenerator[AsyncConnection]:
        """For one statement that needs no transaction: a single round trip, in no tenant."""
        async with self.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as one:
            yield one


@dataclass(frozen=True)
class Databases:
    """Both, as `app.state.databases`."""

    user: Database[UserSession]
    general: Database[GeneralSession]

    @classmethod
    def create(cls, settings: Settings) -> Databases:
        return cls(
            Database("user", _config(settings, "user"), _maker(UserSession)),
            Database("general", _config(settings, "general"), _maker(GeneralSession)),
        )

    @property
    def engines(self) -> dict[str, AsyncEngine]:
        return {one.name: one.engine for one in (self.user, self.general)}

    async def check(self) -> None:
        """Connects to each. One that is away is logged and waited for by whoever needs it.

        Raises SettingsError for a login or a server the service must not run with.
        """
        for database in (self.user, self.general):
            try:
                async with database.autocommit():
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


def _maker(session_class: type[S]) -> async_sessionmaker[S]:
    # expire_on_commit would make reading an attribute after COMMIT a lazy load.
    return async_sessionmaker(class_=session_class, expire_on_commit=False)


def _tenant_of(request: Request[Any, Any, Any]) -> UUID | None:
    scope: dict[str, Any] = cast("dict[str, Any]", request.scope)
    principal = scope.get("user")  # there is none before login
    return None if principal is None else principal.tenant_id


def _config(settings: Settings, name: DatabaseName) -> SQLAlchemyAsyncConfig:
    config = SQLAlchemyAsyncConfig(
        connection_string="postgresql+asyncpg://",
        bind_key=name,
        session_dependency_key=f"{name}_db_session",
        session_scope_key=f"_bicameral_{name}_session",
        session_maker_app_state_key=f"{name}_session_maker",
        engine_dependency_key=f"{name}_db_engine",
        engine_app_state_key=f"{name}_db_engine",
        set_default_exception_handler=False,
        session_config=AsyncSessionConfig(expire_on_commit=False),
        engine_config=_engine_config(settings, name),
        alembic_config=AlembicAsyncConfig(
            script_config=str(ROOT / "alembic.ini"),
            script_location=str(ROOT / "migrations"),
            toml_file=str(ROOT / "migrations" / f"{name}.toml"),  # which of the two chains
            version_table_name="alembic_version",
            render_as_batch=False,
            compare_type=True,
        ),
    )
    pool = config.get_engine().sync_engine.pool
    event.listen(pool, "checkout", _refuse_closed)
    return config


def _engine_config(settings: Settings, name: DatabaseName) -> EngineConfig:
    return EngineConfig(
        connect_args={"async_creator_fn": connector(settings, name)},
        poolclass=WatchedPool,
        pool_size=settings.db_pool_size,
        max_overflow=settings.db_max_overflow,
        pool_timeout=settings.db_pool_timeout,  # type: ignore[arg-type]  # the pool takes a float
        pool_recycle=settings.db_pool_recycle_seconds,
        pool_use_lifo=True,
        echo=settings.db_echo,
        hide_parameters=True,
    )


def _refuse_closed(adapted: Any, record: ConnectionPoolEntry, proxy: PoolProxiedConnection) -> None:
    """What pool_pre_ping promises, without its round trips.

    A server that stops or dies closes its sockets, and asyncpg has seen that by the time a
    later request takes the connection; the pool then opens a new one.
    """
    connection: TenantConnection = adapted.driver_connection
    connection.tenant_id = None
    if connection.is_closed():
        raise InvalidatePoolError
