"""`litestar dev` runs everything here: two PostgreSQL servers, their migrations, the service."""

from __future__ import annotations

import asyncio
import shutil
import socket
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from shlex import quote
from threading import Thread
from typing import NamedTuple

import asyncpg
import click
from uvicorn import Config

from app.accounts.operators import Operators
from app.accounts.passwords import Passwords
from app.commands import administrator, demo
from app.commands.embedded.cluster import Server
from app.commands.embedded.host import EmbeddedError
from app.commands.embedded.pair import servers
from app.commands.listening import bind
from app.commands.migrate import upgrade
from app.commands.run import Options, serve_alone, serve_reloading
from app.commands.running_dev import DATA_DIR, found_by_commands
from app.commands.signals import end_if_told, end_once
from app.config.database_url import LAST_PORT
from app.config.paths import ROOT
from app.config.settings import Settings, SettingsError, load_settings, stop
from app.databases.connection import DATABASES
from app.databases.database import Databases
from app.edge.draining import server_options
from app.server import create_app

ROLES = ROOT / "migrations" / "roles.sql"
LOOPBACK = "127.0.0.1"
HERE = {"127.0.0.1", "::1", "localhost"}
EVERYWHERE = {"0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104  which address of it to show


class Users(NamedTuple):
    """The demo user is there, and the administrator: by this password, if it is still theirs."""

    is_demo_fresh: bool
    password: str | None


@click.command()
@click.option(
    "--host", default=LOOPBACK, show_default=True, help="The address to serve on, as 0.0.0.0."
)
@click.option(
    "--port",
    default=8000,
    show_default=True,
    type=click.IntRange(0, LAST_PORT),
    help="The port to serve on, as 8080; 0: any that is free.",
)
@click.option(
    "--data-dir",
    default=str(DATA_DIR),
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the two servers keep their data, as ../data.",
)
@click.option("--reset", is_flag=True, help="Delete the data and start over.")
@click.option(
    "--reload", "reloads", is_flag=True, help="Start the service anew on a change in app/."
)
def dev(host: str, port: int, data_dir: Path, reset: bool, reloads: bool) -> None:
    """Run everything here: two PostgreSQL servers, their migrations, the service."""
    end_once()
    listener = _listen(host, port)
    address = _address(host, listener)
    try:
        with servers(data_dir, reset=reset, report=_say) as pair:
            _say("Two PostgreSQL servers are running.")
            _run(pair, listener, address, data_dir, reloads=reloads)
    except (EmbeddedError, SettingsError) as error:
        raise stop(str(error)) from None
    except KeyboardInterrupt:
        pass
    _say("Stopped.")


def _say(line: str) -> None:
    click.echo(line)


def _listen(host: str, port: int) -> socket.socket:
    """Listen before anything else: a port in use then costs no start of two servers."""
    listener = bind(host, port)
    try:
        listener.listen()
    except OSError as error:
        raise stop(f"port {port}: {error.strerror}; choose another with --port.") from None
    return listener


def _address(host: str, listener: socket.socket) -> str:
    shown = EVERYWHERE.get(host, host)
    name = f"[{shown}]" if ":" in shown else shown
    return f"http://{name}:{listener.getsockname()[1]}"


def _run(
    pair: tuple[Server, Server],
    listener: socket.socket,
    address: str,
    data_dir: Path,
    *,
    reloads: bool,
) -> None:
    urls = _urls(*pair)
    settings = _settings(urls)
    users = _prepare(settings, pair, data_dir)
    with found_by_commands(data_dir, urls):
        host = address.removeprefix("http://").rpartition(":")[0].strip("[]")
        welcome = [*_welcome(address, users.password), *_look_inside(pair), *_warnings(host)]
        Thread(target=_announce, args=(address, welcome, users.is_demo_fresh), daemon=True).start()
        _serve(settings, listener, urls if reloads else None)


def _prepare(settings: Settings, pair: tuple[Server, Server], data_dir: Path) -> Users:
    asyncio.run(_create_databases(*pair))
    end_if_told()
    _migrate(settings)
    end_if_told()
    _say("Both databases are migrated.")
    users = asyncio.run(_create_users(settings, data_dir))
    end_if_told()
    return users


def _migrate(settings: Settings) -> None:
    """Migrate both at the same time. An interrupted migration ends with its server."""
    threads = ThreadPoolExecutor(len(DATABASES))
    try:
        list(threads.map(upgrade, [settings] * len(DATABASES), DATABASES))
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


async def _create_databases(*clusters: Server) -> None:
    """Raises EmbeddedError for what a server refuses, such as one that is set to be read-only."""
    for cluster in clusters:
        try:
            await create_database(cluster)
        except asyncpg.PostgresError as error:
            line = f"{cluster.data_dir}: the server does not prepare its database: {error}"
            raise EmbeddedError(line) from None


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


def _urls(user: Server, general: Server) -> dict[str, str]:
    logins = {"": "bicameral_app", "_OWNER": "bicameral_owner", "_RELAY": "bicameral_relay"}
    return {
        f"DATABASE_URL_{server.name.upper()}{suffix}": server.url("bicameral", role)
        for server in (user, general)
        for suffix, role in logins.items()
    }


def _settings(urls: Mapping[str, str]) -> Settings:
    """Read the environment's settings, but for its URLs, whose databases are not dev's."""
    settings = load_settings(**{name.lower(): url for name, url in urls.items()})
    if "request_drain_seconds" in settings.model_fields_set:
        return settings
    # Nobody routes requests here who would have to be told.
    return settings.model_copy(update={"request_drain_seconds": 0})


async def _create_users(settings: Settings, data_dir: Path) -> Users:
    databases, passwords = Databases.create(settings), Passwords(settings)
    operators = Operators(databases, passwords)
    users = Users(
        is_demo_fresh=await demo.ensure_user(operators),
        password=await administrator.ensure(operators, data_dir),
    )
    await databases.user.dispose()
    passwords.close()
    return users


def _serve(
    settings: Settings, listener: socket.socket, reloading: Mapping[str, str] | None
) -> None:
    arguments: Options = {"log_config": None, **server_options(settings)}
    if reloading is not None:
        serve_reloading(listener, arguments, environment=reloading)
    else:
        serve_alone(listener, Config(create_app(settings), **arguments), settings)


def _announce(address: str, welcome: list[str], is_fresh: bool) -> None:
    """Announce the address once it answers there, and there is something to read."""
    try:
        demo.wait(address)
    except OSError:  # interrupted meanwhile
        return
    if is_fresh:
        with suppress(OSError):
            demo.write_conversation(address)
    _say("\n".join(welcome))
    sys.stdout.flush()


def _welcome(address: str, password: str | None) -> list[str]:
    return [
        f"Service:  {address}",
        f"Explorer: {address}/schema (log in as {demo.USERNAME}, {demo.PASSWORD!r})",
        *administrator.login(address, password),
    ]


def _look_inside(pair: tuple[Server, Server]) -> list[str]:
    """Write a line for each database: as its administrator, who sees every tenant."""
    program = shutil.which("psql") or str(pair[0].programs.folder / "psql")
    lines = [f"{quote(program)} {quote(server.url('bicameral'))}" for server in pair]
    return ["Look into the user database, and into the general one:", *lines]


def _warnings(host: str) -> list[str]:
    if host in HERE:
        return []
    return ["Whoever reaches this port can log in as the demo user: their password is public."]
