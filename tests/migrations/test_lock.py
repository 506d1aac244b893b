"""Many replicas start at once: one migrates, the others wait for it and succeed."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.process import BaseProcess as Replica
from runpy import run_module

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from pydantic import SecretStr

from app.commands.migrate import ROOT, head
from app.config.settings import Settings
from app.databases.connection import DATABASES, DatabaseName
from migrations import lock
from migrations.lock import LOCK_KEY
from tests.support.migrations import Query, configured, environment, fetch

VERSION = "SELECT version_num FROM alembic_version"
PATIENCE_SECONDS = 120
SOON_SECONDS = 4
PATIENT = {"migration_lock_timeout_seconds": 60, "migration_statement_timeout_seconds": 60}
Line = tuple[str, ...]
LITESTAR: Line = ("litestar", "database", "upgrade")
FORKS = get_context("forkserver")
ALEMBIC: Line = ("alembic", "-n", "user", "upgrade", "head")


def test_an_upgrade_waits_for_another_only_so_long(
    config: Config, name: DatabaseName, query: Query, empty: Settings
) -> None:
    impatient = empty.model_copy(update={"migration_wait_seconds": 0.2})
    config.attributes["settings"] = impatient
    with _while_someone(empty, name, "SELECT pg_advisory_lock($1)", LOCK_KEY):
        with pytest.raises(CommandError, match=f"^{name} database: another migration has been"):
            command.upgrade(config, "head")
        command.current(config)  # what only reads needs no lock
    assert not query("SELECT FROM pg_class WHERE relname = 'alembic_version'")
    command.upgrade(config, "head")


def test_eight_upgrades_at_once_all_succeed(empty: Settings) -> None:
    """Both command lines, let go at the same moment: until then the test has the lock."""
    with _while_someone(empty, "user", "SELECT pg_advisory_lock($1)", LOCK_KEY):
        replicas = [_start(_replica, line, empty) for line in (LITESTAR, ALEMBIC) * 4]
        _until_waiting(replicas, empty, "query LIKE 'SELECT pg_try_advisory_lock%'")
    assert _outcomes(replicas) == [0] * 8
    for name in DATABASES:
        assert asyncio.run(fetch(empty, name, VERSION)) == {(head(name),)}


def test_control_without_the_lock_all_upgrades_but_one_fail(empty: Settings) -> None:
    command.ensure_version(configured(empty, "user"))
    with _while_someone(empty, "user", "BEGIN; LOCK alembic_version"):
        replicas = [_start(_unlocked_replica, ALEMBIC, empty) for _ in range(3)]
        _until_waiting(replicas, empty, "wait_event_type = 'Lock'")
    assert Counter(_outcomes(replicas)) == {0: 1, 255: 2}


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        ("migration_lock_timeout_seconds", "LockNotAvailable"),
        ("migration_statement_timeout_seconds", "QueryCanceled"),
    ],
)
def test_a_migration_waits_for_a_lock_or_a_statement_only_so_long(
    config: Config, name: DatabaseName, empty: Settings, setting: str, error: str
) -> None:
    command.ensure_version(config)
    patient = dict.fromkeys(
        ("migration_lock_timeout_seconds", "migration_statement_timeout_seconds"), 60
    )
    config.attributes["settings"] = empty.model_copy(update=patient | {setting: 0.3})
    with (
        _while_someone(empty, name, "BEGIN; LOCK alembic_version"),
        soon(),
        pytest.raises(CommandError, match=error),
    ):
        command.upgrade(config, "head")


def test_a_migration_waits_for_its_connection_only_so_long(
    config: Config, name: DatabaseName, empty: Settings
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = SecretStr(f"postgresql://somebody@127.0.0.1:{silent.getsockname()[1]}/x")
        silence = {f"database_url_{name}_owner": url, "db_connect_timeout_seconds": 0.2}
        config.attributes["settings"] = empty.model_copy(update=silence)
        with soon(), pytest.raises(CommandError, match=f"^{name} database: "):
            command.upgrade(config, "head")


@contextmanager
def soon() -> Generator[None]:
    """Fail whoever takes as long as the defaults, which has not listened to the setting."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SOON_SECONDS


@contextmanager
def _while_someone(
    settings: Settings, name: DatabaseName, does: str, *values: object
) -> Generator[None]:
    """Another session, which keeps what the statement gave it."""
    with asyncio.Runner() as runner:
        dsn = settings.url(name, owner=True).dsn
        connection = runner.run(asyncpg.connect(dsn))
        try:
            runner.run(connection.execute(does, *values))
            yield
        finally:
            runner.run(connection.close())


def _start(target: Callable[..., None], line: Line, settings: Settings) -> Replica:
    """A process of its own; forked from one that has done the imports, for they take seconds."""
    FORKS.set_forkserver_preload([__name__, "app.server", "litestar.cli.main"])
    process = FORKS.Process(target=target, args=(line, environment(settings)))
    process.start()
    return process


def _replica(line: Line, variables: dict[str, str]) -> None:
    os.environ.update(variables, MIGRATION_LOCK_TIMEOUT_SECONDS=str(PATIENCE_SECONDS))
    os.chdir(ROOT)
    sys.argv = list(line)
    run_module(line[0], run_name="__main__")


def _unlocked_replica(line: Line, variables: dict[str, str]) -> None:
    async def at_once(*_: object) -> None: ...

    setattr(lock, "_acquire", at_once)  # noqa: B010 # private, so that nobody else does this
    _replica(line, variables)


def _until_waiting(replicas: list[Replica], settings: Settings, how: str) -> None:
    waiting = (
        "SELECT count(*) FROM pg_sleep(0.05), pg_stat_activity"
        " WHERE datname = current_database()"
        f" AND application_name = 'bicameral migrations' AND {how}"
    )
    while asyncio.run(fetch(settings, "user", waiting)) != {(len(replicas),)}:
        assert all(replica.is_alive() for replica in replicas)


def _outcomes(replicas: list[Replica]) -> list[int | None]:
    for replica in replicas:
        replica.join(PATIENCE_SECONDS)
    return [replica.exitcode for replica in replicas]
