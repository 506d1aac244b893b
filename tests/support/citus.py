"""A coordinator and two workers of Citus, where the server that the tests run on has it.

With BICAMERAL_TESTS_CITUS=1 the general server of the whole run is the coordinator, and each test's
database is distributed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from subprocess import run as run_program

import asyncpg
import pytest

from app.commands.dev import ROLES
from app.commands.distribute import carry_out, grant
from app.commands.embedded.cluster import Server
from app.commands.embedded.host import Programs
from app.config.settings import Settings
from app.databases.citus import OWNER_SETTINGS, PROPAGATES_SET
from tests.support import switches

IS_WANTED = switches.is_on("BICAMERAL_TESTS_CITUS")
WORKERS = ("worker1", "worker2")
CONFIGURATION = (
    "ALTER SYSTEM SET shared_preload_libraries = 'citus', 'pg_stat_statements'",
    "ALTER SYSTEM SET wal_level = 'logical'",  # shards are moved by replication
    "ALTER SYSTEM SET citus.shard_count = 4",
)
_workers: dict[int, tuple[Server, ...]] = {}


def only_with(programs: Programs) -> None:
    """Skip the test, loudly, unless that PostgreSQL has Citus installed."""
    command = (programs.folder / "pg_config", "--sharedir")
    folder = run_program(command, capture_output=True, text=True, check=True).stdout.strip()
    if not (Path(folder) / "extension" / "citus.control").exists():
        pytest.skip("UNTESTED: Citus is not installed for the PostgreSQL of this run")


def only_on_one_server(reason: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(IS_WANTED, reason=reason)


def nodes(server: Server) -> tuple[Server, ...]:
    """Give the server, and the workers of one that is a coordinator."""
    return (server, *_workers.get(server.port, ()))


@contextmanager
def with_workers(coordinator: Server) -> Generator[Server]:
    """Start the workers beside the coordinator, and stop them."""
    workers = [_worker(coordinator, name) for name in WORKERS]
    try:
        for server in (coordinator, *workers):
            server.start()
            asyncio.run(_configure(server))
            server.stop()
            server.start()
        _workers[coordinator.port] = tuple(workers)
        yield coordinator
    finally:
        for server in workers:
            server.stop()


def _worker(coordinator: Server, name: str) -> Server:
    folder = coordinator.data_dir.with_name(name)
    return Server(folder, folder, coordinator.programs, durable=False, tcp=True)


async def _configure(server: Server) -> None:
    await on(server, "postgres", *CONFIGURATION)


async def on(server: Server, database: str, *statements: str) -> None:
    connection = await asyncpg.connect(server.url(database))
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def make_cluster(coordinator: Server, database: str) -> None:
    """Make the servers' databases of that name, which there are, one of Citus."""
    for server in nodes(coordinator):
        await on(server, database, "CREATE EXTENSION citus", ROLES.read_text())
    here = f"SELECT citus_set_coordinator_host('127.0.0.1', {coordinator.port})"
    workers = nodes(coordinator)[1:]
    await on(
        coordinator,
        database,
        here,
        *(f"SELECT citus_add_node('127.0.0.1', {worker.port})" for worker in workers),
    )


async def distributed(coordinator: Server, settings: Settings, database: str) -> None:
    """Distribute that database, and let it be copied on each of its servers."""
    await carry_out(settings, dry_run=False)
    grant(settings)
    for server in nodes(coordinator):
        await leave(server, database)


async def leave(server: Server, database: str) -> None:
    """Let the database be copied: nobody may be connected to it, Citus's own process neither."""
    stop = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'"
    await on(
        server,
        "postgres",
        f"ALTER DATABASE {database} ALLOW_CONNECTIONS false",
        stop.format(database),
    )


async def settle(server: Server, database: str) -> None:
    """Give a copy the settings of a database, which PostgreSQL does not copy."""
    name, value = PROPAGATES_SET
    role = f"ALTER ROLE bicameral_owner IN DATABASE {database}"
    await on(
        server,
        database,
        "SET citus.enable_ddl_propagation = off",
        f"ALTER DATABASE {database} SET {name} = '{value}'",
        *(f"{role} SET {name} = '{value}'" for name, value in OWNER_SETTINGS.items()),
    )
