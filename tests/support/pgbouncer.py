"""PgBouncer in transaction mode before a server, as the README sets it up.

With BICAMERAL_TESTS_PGBOUNCER=1 the whole suite's service goes through it, and what a test puts on
its way comes before it. What a test does itself with a database goes to the server.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from pwd import struct_passwd
from subprocess import DEVNULL, Popen
from tempfile import TemporaryDirectory

import asyncpg
import pytest

from app.commands.embedded.cluster import Server
from app.commands.embedded.host import free_port, within
from tests.support import switches

PLACES = f"{os.environ.get('PATH', '')}:{sys.prefix}/bin:/usr/sbin"
PROGRAM = shutil.which("pgbouncer", path=PLACES)
LIBRARIES = {"LD_LIBRARY_PATH": f"{sys.prefix}/lib"}  # where .ci/run puts those that are missing
IS_WANTED = switches.is_on("BICAMERAL_TESTS_PGBOUNCER")
START_SECONDS = 10
LOGINS = ("bicameral_app", "bicameral_relay")
PREPARING = int(IS_WANTED)  # round trips, each time a statement is run
ROUND_TRIPS = 4 if IS_WANTED else 1  # behind it BEGIN, preparing, the statement, COMMIT
UNPREPARED: dict[str, object] = {"db_prepared_statements": False, "relay_listen": False}
SETTINGS = UNPREPARED if IS_WANTED else {}
ENVIRONMENT = {name.upper(): str(value).lower() for name, value in SETTINGS.items()}
CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server_port}
[pgbouncer]
pool_mode = {mode}
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
max_client_conn = 1000
default_pool_size = {pool_size}
query_wait_timeout = 5
server_login_retry = 1
ignore_startup_parameters = {ignored}
"""
_ports: dict[int, int] = {}


def port(server: Server) -> int:
    """Give the port that the service connects to: PgBouncer's, if there is one."""
    return _ports.get(server.port, server.port)


def url(server: Server, database: str) -> str:
    """The service's."""
    if server.port in _ports:
        return url_at(port(server), database)
    return server.url(database, "bicameral_app")


def url_at(port: int, database: str) -> str:
    return f"postgresql://bicameral_app@127.0.0.1:{port}/{database}"


def only_directly(reason: str) -> pytest.MarkDecorator:
    """Skip a test that would be about nothing behind PgBouncer."""
    return pytest.mark.skipif(IS_WANTED, reason=reason)


async def reached(server: Server, database: str) -> None:
    """Returns when it is: after the start of a server PgBouncer does not look for it at once."""
    while True:  # each question is a round trip, so this is no busy loop
        with suppress(OSError, asyncpg.PostgresError):
            connection = await asyncpg.connect(url(server, database), statement_cache_size=0)
            try:
                await connection.execute("SELECT 1")
            finally:
                connection.terminate()
            return


@contextmanager
def before_each(servers: Iterable[Server]) -> Generator[None]:
    with ExitStack() as stack:
        for server in servers:
            if IS_WANTED:
                _ports[server.port] = stack.enter_context(pgbouncer(server, pool_size=40))
        yield


@contextmanager
def pgbouncer(
    server: Server, *, pool_size: int, ignored: str = "", mode: str = "transaction"
) -> Generator[int]:
    """The port of one that keeps so many connections for each login and database."""
    assert PROGRAM, "PgBouncer is not installed"
    with TemporaryDirectory(prefix="bicameral-pgbouncer-") as name:
        folder, port = Path(name), free_port()
        folder.chmod(0o755)  # as root it is run by the servers' account
        (folder / "users").write_text("".join(f'"{login}" ""\n' for login in LOGINS))
        configuration = folder / "pgbouncer.ini"
        places = {"server_port": server.port, "port": port, "folder": folder}
        rules = {"pool_size": pool_size, "ignored": ignored, "mode": mode}
        configuration.write_text(CONFIGURATION.format(**places, **rules))
        with _running(configuration, server.programs.account) as process:
            try:
                assert within(START_SECONDS, lambda: _answers(port)), "PgBouncer does not start"
                yield port
            finally:
                process.kill()


def _running(configuration: Path, account: struct_passwd | None) -> Popen[bytes]:
    command = (PROGRAM or "", "--quiet", str(configuration))
    who = account.pw_uid if account else None  # it refuses root, as PostgreSQL does
    return Popen(command, user=who, stderr=DEVNULL, env=LIBRARIES)


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
