"""`litestar dev` runs everything here: two PostgreSQL servers, their migrations, the service."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import click
import uvicorn

from app.accounts.operators import Operators
from app.accounts.passwords import Passwords
from app.commands import demo
from app.commands.embedded.cluster import Server
from app.commands.embedded.host import EmbeddedError
from app.commands.embedded.pair import servers
from app.commands.migrate import upgrade
from app.commands.signals import end_in_order, end_once
from app.config.paths import ROOT
from app.config.settings import Settings, stop
from app.databases.connection import DATABASES
from app.databases.database import Databases
from app.edge import protocol
from app.server import create_app

ROLES = ROOT / "migrations" / "roles.sql"
HOST = "127.0.0.1"
ADMINISTRATOR = "\\platform\\admin"


@click.command()
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--data-dir",
    default=".bicameral",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the two servers keep their data.",
)
@click.option("--reset", is_flag=True, help="Delete the data and start over.")
def dev(port: int, data_dir: Path, reset: bool) -> None:
    """Run everything here: two PostgreSQL servers, their migrations, the service."""
    end_once()
    listening = _listen(port)
    try:
        with servers(data_dir, reset=reset, report=_say) as (user, general):
            _say("Two PostgreSQL servers are running.")
            settings, is_fresh = _prepare(user, general, data_dir)
            _serve(settings, listening, data_dir, is_fresh=is_fresh)
    except EmbeddedError as error:
        raise stop(str(error)) from None
    except KeyboardInterrupt:
        _say("Stopped.")


def _say(line: str) -> None:
    click.echo(line)


def _listen(port: int) -> socket.socket:
    """Listen before anything else: a port in use then costs no start of two servers."""
    try:
        return socket.create_server((HOST, port))
    except OSError:
        raise stop(f"port {port} is in use; choose another with --port.") from None


def _prepare(user: Server, general: Server, data_dir: Path) -> tuple[Settings, bool]:
    asyncio.run(_create_databases(user, general))
    settings = _settings(user, general)
    _migrate(settings)
    _say("Both databases are migrated.")
    return settings, asyncio.run(_create_users(settings, _password(data_dir)))


def _migrate(settings: Settings) -> None:
    """Migrate both at the same time. An interrupted migration ends with its server."""
    threads = ThreadPoolExecutor(len(DATABASES))
    try:
        list(threads.map(upgrade, [settings] * len(DATABASES), DATABASES))
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


async def _create_databases(*clusters: Server) -> None:
    await asyncio.gather(*(create_database(cluster) for cluster in clusters))


async def create_database(cluster: Server, name: str = "bicameral") -> None:
    """Create the database with its logins, unless it is there already."""
    connection = await asyncpg.connect(cluster.url())
    exists = await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name)
    if not exists:
        await connection.execute(f'CREATE DATABASE "{name}"')
        # The server's log is kept, and a DETAIL holds values: e-mail addresses, for one.
        await connection.execute(f'ALTER DATABASE "{name}" SET log_error_verbosity = terse')
    await connection.close()
    connection = await asyncpg.connect(cluster.url(name))
    await connection.execute(ROLES.read_text())
    await connection.close()


def _settings(user: Server, general: Server) -> Settings:
    """Make settings without the environment, whose URLs name databases that are not dev's."""
    return Settings.model_validate(
        {
            "request_drain_seconds": 0,  # nobody routes requests here who would have to be told
            "database_url_user": user.url("bicameral", "bicameral_app"),
            "database_url_user_owner": user.url("bicameral", "bicameral_owner"),
            "database_url_user_relay": user.url("bicameral", "bicameral_relay"),
            "database_url_general": general.url("bicameral", "bicameral_app"),
            "database_url_general_owner": general.url("bicameral", "bicameral_owner"),
            "database_url_general_relay": general.url("bicameral", "bicameral_relay"),
        }
    )


def _password(data_dir: Path) -> str:
    """Keep the password beside the data, readable by this user only; each start prints it."""
    path = data_dir / "administrator-password"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(18))
    return path.read_text().strip()


async def _create_users(settings: Settings, password: str) -> bool:
    """Create the administrator and the demo user; False if that one is there already."""
    databases, passwords = Databases.create(settings), Passwords(settings)
    operators = Operators(databases, passwords)
    is_fresh = await demo.ensure_user(operators)
    await operators.ensure_administrator(ADMINISTRATOR, "admin@platform.example", password)
    await databases.user.dispose()
    passwords.close()
    return is_fresh


def _serve(settings: Settings, listening: socket.socket, data_dir: Path, *, is_fresh: bool) -> None:
    app = create_app(settings)
    password = _password(data_dir)
    port = listening.getsockname()[1]
    config = uvicorn.Config(app, log_config=None, **protocol.options(settings))
    end_in_order()
    server = _Announcing(config, f"http://{HOST}:{port}", password, is_fresh=is_fresh)
    server.run(sockets=[listening])


class _Announcing(uvicorn.Server):
    """Announces the address once it answers there, and there is something to read."""

    def __init__(
        self, config: uvicorn.Config, address: str, password: str, *, is_fresh: bool
    ) -> None:
        super().__init__(config)
        self._address, self._password, self._is_fresh = address, password, is_fresh

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._is_fresh:
            await asyncio.to_thread(demo.write_conversation, self._address)
        _announce(self._address, self._password)


def _announce(address: str, password: str) -> None:
    body = json.dumps({"username": ADMINISTRATOR, "password": password})
    _say(f"Service:  {address}")
    _say(f"Explorer: {address}/schema (log in as {demo.USERNAME}, {demo.PASSWORD!r})")
    _say("Log in:")
    _say(f"curl -sS {address}/v1/auth/login -H 'Content-Type: application/json' -d '{body}'")
    sys.stdout.flush()
