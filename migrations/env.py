"""Migrates one database, for `alembic -n user|general …` and for `litestar database …`.

The section of alembic.ini, or Advanced Alchemy's bind key, says which database. Each migration is
a transaction, with its row in `alembic_version`, so one that fails leaves nothing behind. A program
may hand over `config.attributes["settings"]`, or its own "connection" (an engine will do): then the
lock and the privileges are its business.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

from advanced_alchemy.types import GUID, DateTimeUTC
from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from app.config.database_url import DatabaseUrl
from app.config.settings import Settings, SettingsError, load_settings
from app.databases import hosts
from app.databases.connection import DATABASES, DatabaseName
from app.databases.opening import GRACE_SECONDS
from app.databases.refusals import REFUSED, reason
from migrations import distribution, lock, privileges, steps
from migrations.models import METADATA

# A revision outlives our libraries, so it names SQLAlchemy's types where we use others.
PLAIN: dict[type, str] = {GUID: "sa.Uuid()", DateTimeUTC: "sa.DateTime(timezone=True)"}
CONNECTING = {"28P01", "28000", "3D000"}  # which no statement of a migration has
AFTERWORD = "-- Not in here: privileges. `litestar database upgrade` grants them afterwards.\n"


def main() -> None:
    name = _database()
    given = context.config.attributes.get("connection")
    if given is not None and not context.is_offline_mode():
        _migrate_on(given, name)
        return
    with _plainly(name):
        settings = context.config.attributes.get("settings") or load_settings()
        if context.is_offline_mode():
            _print_sql(name, settings)
        else:
            _run(_migrate(name, settings))


def _database() -> DatabaseName:
    name = getattr(context.config, "bind_key", None) or context.config.config_ini_section
    if name not in DATABASES:
        raise CommandError("which database? `alembic -n user …` or `alembic -n general …`")
    if not context.script.get_heads():  # to find nothing to do would look like success
        raise CommandError(f"no revisions; Advanced Alchemy needs toml_file=migrations/{name}.toml")
    return name


async def _migrate(name: DatabaseName, settings: Settings) -> None:
    engine = _engine(settings, settings.url(name, owner=True))
    async with engine.connect() as connection:
        for statement in _timeouts(settings):
            await connection.exec_driver_sql(statement)
        await _refuse_encoding(connection)
        await connection.commit()  # else a migration's ROLLBACK would take them back
        await connection.run_sync(_configure, name)
        if not _may_change():
            await connection.run_sync(_run_migrations)
            return
        async with lock.held(engine, settings.migration_wait_seconds) as holder:
            roles = await privileges.logins(holder, settings, name)
            await connection.run_sync(_run_aloud, name)
            async with connection.begin():
                await privileges.apply(connection, name, roles)
                if name == "general":
                    await distribution.grant_defaults(connection)


async def _refuse_encoding(connection: AsyncConnection) -> None:
    encoding = await connection.scalar(text("SHOW server_encoding"))
    if encoding != "UTF8":
        raise CommandError(f"the database's encoding is {encoding}; make one in UTF8")


def _may_change() -> bool:
    """Upgrade, downgrade and stamp have a destination; check, current and revision have none."""
    return "destination_rev" in context.get_context().opts


def _engine(settings: Settings, url: DatabaseUrl) -> AsyncEngine:
    return create_async_engine(
        "postgresql+asyncpg://",
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={
            "async_creator_fn": partial(hosts.connect, url, settings.db_connect_timeout_seconds),
            "command_timeout": settings.migration_statement_timeout_seconds + GRACE_SECONDS,
            "server_settings": {"application_name": "bicameral migrations"},
            "statement_cache_size": 0,  # a plan may not outlive the table it was made for
            "prepared_statement_cache_size": 0,
        },
    )


def _timeouts(settings: Settings) -> list[str]:
    """A migration that queues for a table's lock has everyone else queue behind it."""
    return [
        f"SET lock_timeout = '{settings.migration_lock_timeout_seconds * 1000:.0f}ms'",
        f"SET statement_timeout = '{settings.migration_statement_timeout_seconds * 1000:.0f}ms'",
    ]


def _configure(connection: Connection | None, name: DatabaseName) -> None:
    metadata = METADATA[name]

    def is_ours(table: str | None, kind: str, _: object) -> bool:
        return kind != "table" or table in metadata.tables

    context.configure(
        connection=connection,
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},  # any other doubles the percent signs in --sql
        literal_binds=connection is None,
        target_metadata=metadata,
        transaction_per_migration=True,  # locks end sooner; CONCURRENTLY can stand alone
        version_table="alembic_version",
        compare_type=True,
        compare_server_default=True,
        include_name=is_ours,
        render_item=_render_item,
        on_version_apply=distribution.distribute_new if name == "general" else None,
    )


def _render_item(kind: str, item: object, _: object) -> str | Literal[False]:
    """False: as Alembic would."""
    return PLAIN.get(type(item), False) if kind == "type" else False


def _run_aloud(connection: Connection, name: DatabaseName) -> None:
    """Tell an operator each step and where it ended; `litestar dev` brings settings and is none."""
    if "settings" in context.config.attributes:
        _run_migrations(connection)
        return
    with steps.told(name):
        _run_migrations(connection)
    heads = context.get_context().get_current_heads()
    connection.commit()
    steps.say(name, f"at {', '.join(heads) or 'base'}")


def _run_migrations(connection: Connection) -> None:
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()


def _migrate_on(given: Connection | Engine | AsyncEngine, name: DatabaseName) -> None:
    if isinstance(given, AsyncEngine):
        _run(_migrate_on_async(given, name))
    elif isinstance(given, Engine):
        with given.connect() as connection:
            _configure(connection, name)
            _run_migrations(connection)
    else:
        _configure(given, name)
        context.run_migrations()


async def _migrate_on_async(engine: AsyncEngine, name: DatabaseName) -> None:
    async with engine.connect() as connection:
        await connection.run_sync(_configure, name)
        await connection.run_sync(_run_migrations)


def _print_sql(name: DatabaseName, settings: Settings) -> None:
    _configure(None, name)
    for statement in _timeouts(settings):
        context.execute(statement)
    context.run_migrations()
    context.get_context().impl.static_output(AFTERWORD)


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    with ThreadPoolExecutor(1) as thread:  # called from async code, whose loop is taken
        thread.submit(asyncio.run, work).result()


@contextmanager
def _plainly(name: DatabaseName) -> Generator[None]:
    """One line without SQL, host or password; `alembic --raiseerr` shows where it came from."""
    try:
        yield
    except SettingsError as error:
        raise CommandError(str(error)) from error
    except CommandError as error:
        raise CommandError(f"{name} database: {error}") from error
    except OSError as error:
        raise CommandError(f"{name} database: away: {reason(error)}") from error
    except Exception as error:
        raise CommandError(f"{name} database: {_what(error)}") from error


def _what(error: Exception) -> str:
    cause = error
    if isinstance(error, DBAPIError) and error.orig:
        cause = cast("Exception", error.orig.__cause__ or error.orig)
    sqlstate: str | None = getattr(cause, "sqlstate", None)
    if sqlstate and sqlstate.startswith("BC"):  # a migration's own words for whoever runs it
        return str(cause)
    if sqlstate in CONNECTING:
        return REFUSED[sqlstate]
    kind = type(cause).__name__
    return (f"{kind} ({sqlstate})" if sqlstate else kind) + _where(error)


def _where(error: Exception) -> str:
    revisions = {Path(one.path).resolve() for one in context.script.walk_revisions()}
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if Path(frame.filename).resolve() in revisions:
            return f" in {Path(frame.filename).name}, line {frame.lineno}"
    return ""


main()
