"""The commands of migrations/README.md, "Point-in-time recovery", run as they stand there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import asyncpg
import pytest

from app.commands.dev import create_database
from app.commands.embedded.cluster import Server
from app.commands.migrate import upgrade
from tests.support.backups import follow
from tests.support.erasure_scene import Scene, a_session
from tests.support.pgbouncer import only_directly
from tests.support.servers import Servers, settings_for

pytestmark = only_directly("it recovers a server of its own, which PgBouncer does not know")
PATIENCE_SECONDS = 30
RECOVERING = "SELECT pg_is_in_recovery()"


@pytest.fixture
async def folder(scene: Scene) -> AsyncGenerator[Path]:
    """A folder that the servers' account may write to, with a short path for their sockets."""
    with TemporaryDirectory(prefix="bicameral-tests-", ignore_cleanup_errors=True) as name:
        scene.servers.user.programs.give(Path(name))
        (Path(name) / "archive").mkdir()
        scene.servers.user.programs.give(Path(name) / "archive")
        yield Path(name)


def server(scene: Scene, data_dir: Path) -> Server:
    programs = scene.servers.user.programs
    return Server(data_dir, data_dir, programs, durable=False, tcp=False)


async def started(scene: Scene, folder: Path) -> Server:
    """Start a general server of the test's own, empty, that archives what it writes."""
    general = server(scene, folder / "general")
    await asyncio.to_thread(general.start)
    await create_database(general, scene.database)
    pair = Servers(scene.servers.user, general)
    await asyncio.to_thread(upgrade, settings_for(pair, scene.database), "general")
    await follow("archive", scene, folder, ADMIN_URL=general.url(), ARCHIVE=str(folder / "archive"))
    await asyncio.to_thread(general.stop)
    await asyncio.to_thread(general.start)
    return general


async def recovered(scene: Scene, folder: Path, moment: str) -> Server:
    """Start a server on the base backup; it has what was archived until that moment."""
    places = {"BASE_BACKUP": folder / "base", "ARCHIVE": folder / "archive"}
    urls = {name: str(path) for name, path in places.items()}
    await follow("recover", scene, folder, MOMENT=moment, DATA=str(folder / "again"), **urls)
    for path in (folder / "again", *(folder / "again").rglob("*")):
        scene.servers.user.programs.give(path)
    general = server(scene, folder / "again")
    await asyncio.to_thread(general.start)
    connection = await asyncpg.connect(general.url())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await connection.fetchval(RECOVERING):
            pass  # each question is a round trip, so this is no busy loop
    await connection.close()
    return general


async def owners(general: Server, scene: Scene) -> list[UUID]:
    connection = await asyncpg.connect(general.url(scene.database))
    try:
        return [row[0] for row in await connection.fetch("SELECT user_id FROM chat_sessions")]
    finally:
        await connection.close()


@pytest.mark.slow
async def test_the_page_is_followed_to_a_moment(scene: Scene, folder: Path) -> None:
    """Conversations lost after it are there again, but nobody who was deleted is."""
    general = await started(scene, folder)
    try:
        alice, bob = await scene.a_user(), await scene.a_user()
        base = str(folder / "base")
        await follow("base_backup", scene, folder, ADMIN_URL=general.url(), BASE_BACKUP=base)
        connection = await asyncpg.connect(general.url(scene.database))
        for someone in (alice, bob, alice):
            await a_session(connection, someone)
        moment = str(await connection.fetchval("SELECT clock_timestamp()::text"))
        await connection.execute("DELETE FROM chat_sessions")  # by mistake
        await connection.close()
        await scene.delete(bob)
    finally:
        await asyncio.to_thread(general.stop)  # which archives the rest
    general = await recovered(scene, folder, moment)
    try:
        assert sorted(await owners(general, scene)) == sorted(
            [alice.user_id, alice.user_id, bob.user_id]
        )
        urls = {
            "DATABASE_URL_USER": scene.servers.user.url(scene.database, "bicameral_app"),
            "DATABASE_URL_USER_OWNER": scene.servers.user.url(scene.database, "bicameral_owner"),
            "DATABASE_URL_GENERAL": general.url(scene.database, "bicameral_app"),
            "DATABASE_URL_GENERAL_OWNER": general.url(scene.database, "bicameral_owner"),
        }
        await follow("finish", scene, folder, **urls)
        assert await owners(general, scene) == [alice.user_id, alice.user_id]
    finally:
        await asyncio.to_thread(general.stop)
