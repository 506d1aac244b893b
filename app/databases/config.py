"""One SQLAlchemy configuration for each database."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, cast

from advanced_alchemy.config import (
    AlembicAsyncConfig,
    AsyncSessionConfig,
    EngineConfig,
    SQLAlchemyAsyncConfig,
)
from sqlalchemy.pool import NullPool

from app.config.paths import ROOT
from app.config.settings import Settings
from app.databases.backends import asking
from app.databases.breaker import Breaker
from app.databases.connection import DatabaseName
from app.databases.opening import connector
from app.databases.pool import Pool
from app.databases.session_connection import SessionConnection
from app.databases.sessions import S


@dataclass(kw_only=True, eq=False)
class DatabaseConfig(SQLAlchemyAsyncConfig, Generic[S]):
    """Advanced Alchemy's, with the keys under which an application finds what is made of it.

    `session_maker_app_state_key` and `engine_app_state_key` are names in `app.state`,
    `session_dependency_key` is a handler's argument.
    """

    session_class: type[S]
    session_dependency_key: str
    session_maker_app_state_key: str
    engine_app_state_key: str
    pool: Pool = field(repr=False)
    breaker: Breaker = field(repr=False)

    @property
    def name(self) -> DatabaseName:
        return cast("DatabaseName", self.bind_key)


def database_config(
    settings: Settings,
    *,
    bind_key: DatabaseName,
    session_class: type[S],
    reads_only: bool = False,
) -> DatabaseConfig[S]:
    """Nothing connects before the first session or statement."""
    patience = settings.db_silence_seconds
    breaker = Breaker(bind_key, asking(settings, bind_key), patience_seconds=patience)
    pool = Pool(breaker.guard(connector(settings, bind_key, reads_only=reads_only)), settings)
    return DatabaseConfig(
        bind_key=bind_key,
        connection_string="postgresql+asyncpg://",  # the pool knows where to
        session_class=session_class,
        session_dependency_key=f"{bind_key}_session",
        session_maker_app_state_key=f"{bind_key}_session_maker",
        engine_app_state_key=f"{bind_key}_engine",
        pool=pool,
        breaker=breaker,
        # expire_on_commit would make reading an attribute after COMMIT a lazy load.
        session_config=AsyncSessionConfig(class_=session_class, expire_on_commit=False),
        engine_config=_engine_config(pool),
        alembic_config=_alembic_config(bind_key),
    )


def _engine_config(pool: Pool) -> EngineConfig:
    async def session_connection(*_: Any, **__: Any) -> SessionConnection:
        return SessionConnection(pool)

    return EngineConfig(
        # Prepared statements belong to the pool's connections, which come and go beneath.
        connect_args={
            "async_creator_fn": session_connection,
            "prepared_statement_cache_size": 0,
        },
        poolclass=NullPool,
        hide_parameters=True,
    )


def _alembic_config(name: DatabaseName) -> AlembicAsyncConfig:
    return AlembicAsyncConfig(
        script_config=str(ROOT / "alembic.ini"),
        script_location="app:../migrations",  # as in alembic.ini
        toml_file=str(ROOT / "migrations" / f"{name}.toml"),  # which of the two chains
        version_table_name="alembic_version",
        render_as_batch=False,
        compare_type=True,
    )
