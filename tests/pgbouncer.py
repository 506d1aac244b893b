"""PgBouncer in transaction mode before a server, as the README sets it up.

With BICAMERAL_TESTS_PGBOUNCER=1 the whole suite's service goes through it. What a test does itself
with a database, and a test that puts something else before a server, does not.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL, Popen
from tempfile import TemporaryDirectory

import pytest

from app.embedded import Server
from app.embedded_host import free_port, within

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
IS_WANTED = os.environ.get("BICAMERAL_TESTS_PGBOUNCER") == "1"
START_SECONDS = 10
LOGINS = ("bicameral_app", "bicameral_relay")
ONLY_DIRECTLY = pytest.mark.skipif(
    IS_WANTED,
    reason="PgBouncer takes more time, and does not look at once for a server that was away",
)
UNPREPARED: dict[str, object] = {"db_prepared_statements": False, "relay_listen": False}
CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server_port}
[pgbouncer]
pool_mode = transaction
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
max_client_conn = 1000
default_pool_size = {pool_size}
query_wait_timeout = 20
server_login_retry = 1
ignore_startup_parameters = {ignored}
"""
_ports: dict[str, int] = {}


def settings(servers: Iterable[Server], database: str) -> dict[str, object]:
    """For the suite that goes through it; nothing otherwise."""
    if not IS_WANTED:
        return {}
    urls = {f"database_url_{one.name}": url(_ports[one.name], database) for one in servers}
    return {**UNPREPARED, **urls}


def url(port: int, database: str, login: str = "bicameral_app") -> str:
    return f"postgresql://{login}@127.0.0.1:{port}/{database}"


@contextmanager
def before_each(servers: Iterable[Server]) -> Generator[None]:
    with ExitStack() as stack:
        for server in servers:
            if IS_WANTED:
                _ports[server.name] = stack.enter_context(pgbouncer(server, pool_size=40))
        yield


@contextmanager
def pgbouncer(server: Server, *, pool_size: int, ignored: str = "") -> Generator[int]:
    """The port of one that keeps so many connections for each login and database."""
    assert PROGRAM, "PgBouncer is not installed"
    with TemporaryDirectory(prefix="bicameral-pgbouncer-") as name:
        folder, port = Path(name), free_port()
        folder.chmod(0o755)  # as root it is run by the servers' account
        (folder / "users").write_text("".join(f'"{login}" ""\n' for login in LOGINS))
        configuration = folder / "pgbouncer.ini"
        places = {"server_port": server.port, "port": port, "folder": folder}
        rules = {"pool_size": pool_size, "ignored": ignored}
        configuration.write_text(CONFIGURATION.format(**places, **rules))
        account = server.programs.account
        who = account.pw_uid if account else None
        with Popen((PROGRAM, "--quiet", configuration), user=who, stderr=DEVNULL) as process:
            try:
                assert within(START_SECONDS, lambda: _answers(port)), "PgBouncer does not start"
                yield port
            finally:
                process.kill()


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
