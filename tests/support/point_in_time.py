"""A general server that archives its WAL, and its recovery to a moment, as the page has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg

from app.commands.dev import create_database
from app.commands.embedded.cluster import Server
from app.commands.migrate import upgrade
from tests.support.backups import follow
from tests.support.erasure_scene import Scene
from tests.support.servers import Servers, settings_for

PATIENCE_SECONDS = 30
RECOVERING = "SELECT pg_is_in_recovery()"


@asynccontextmanager
async def archive_folder(servers: Servers) -> AsyncGenerator[Path]:
    """Make a folder that the servers' account may write to, with a short path for their sockets."""
    with TemporaryDirectory(prefix="bicameral-tests-", ignore_cleanup_errors=True) as name:
        servers.user.programs.give(Path(name))
        (Path(name) / "archive").mkdir()
        servers.user.programs.give(Path(name) / "archive")
        yield Path(name)


def _server(scene: Scene, data_dir: Path) -> Server:
    programs = scene.servers.user.programs
    return Server(data_dir, data_dir, programs, durable=False, tcp=False)


async def started(scene: Scene, folder: Path) -> Server:
    """Start a general server of the test's own, empty, that archives what it writes."""
    general = _server(scene, folder / "general")
    await asyncio.to_thread(general.start)
    await create_database(general, scene.database)
    pair = Servers(scene.servers.user, general)
    await asyncio.to_thread(upgrade, settings_for(pair, scene.database), "general")
    await follow("archive", scene, folder, ADMIN_URL=general.url(), ARCHIVE=str(folder / "archive"))
    await asyncio.to_thread(general.stop)
    await asyncio.to_thread(general.start)
    return general


async def back_up_base(scene: Scene, folder: Path, general: Server) -> None:
    base = str(folder / "base")
    await follow("base_backup", scene, folder, ADMIN_URL=general.url(), BASE_BACKUP=base)


async def recovered(scene: Scene, folder: Path, moment: str, name: str = "again") -> Server:
    """Start a server on the base backup; it has what was archived until that moment."""
    places = {"BASE_BACKUP": folder / "base", "ARCHIVE": folder / "archive"}
    urls = {place: str(path) for place, path in places.items()}
    await follow("recover", scene, folder, MOMENT=moment, DATA=str(folder / name), **urls)
    for path in (folder / name, *(folder / name).rglob("*")):
        scene.servers.user.programs.give(path)
    general = _server(scene, folder / name)
    await asyncio.to_thread(general.start)
    connection = await asyncpg.connect(general.url())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await connection.fetchval(RECOVERING):
            pass  # each question is a round trip, so this is no busy loop
    await connection.close()
    return general


async def now(general: Server) -> str:
    """Tell the time as recovery takes it."""
    connection = await asyncpg.connect(general.url())
    moment = str(await connection.fetchval("SELECT clock_timestamp()::text"))
    await connection.close()
    return moment


def urls_with(servers: Servers, general: Server, database: str) -> dict[str, str]:
    """Name the user database, and the general one of another server."""
    return {
        "DATABASE_URL_USER": servers.user.url(database, "bicameral_app"),
        "DATABASE_URL_USER_OWNER": servers.user.url(database, "bicameral_owner"),
        "DATABASE_URL_GENERAL": general.url(database, "bicameral_app"),
        "DATABASE_URL_GENERAL_OWNER": general.url(database, "bicameral_owner"),
    }
