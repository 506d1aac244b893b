"""One SQLAlchemy configuration for each database."""

from __future__ import annotations

from advanced_alchemy.config import (
    AlembicAsyncConfig,
    AsyncSessionConfig,
    EngineConfig,
    SQLAlchemyAsyncConfig,
)

from app.config.paths import ROOT
from app.config.settings import Settings
from app.databases.connection import Connect, DatabaseName
from app.databases.opening import connect_args
from app.databases.pool import elastic_pool


def database_config(
    settings: Settings, name: DatabaseName, connect: Connect
) -> SQLAlchemyAsyncConfig:
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
