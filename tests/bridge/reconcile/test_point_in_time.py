"""The commands of migrations/README.md, "Point-in-time recovery", run as they stand there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from app.commands.embedded.cluster import Server
from tests.support.backups import follow
from tests.support.erasure_scene import Scene, a_session
from tests.support.pgbouncer import only_directly
from tests.support.point_in_time import (
    archive_folder,
    back_up_base,
    now,
    recovered,
    started,
    urls_with,
)
from tests.support.servers import Servers

pytestmark = only_directly("it recovers a server of its own, which PgBouncer does not know")


@pytest.fixture
async def folder(servers: Servers) -> AsyncGenerator[Path]:
    async with archive_folder(servers) as made:
        yield made


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
        await back_up_base(scene, folder, general)
        connection = await asyncpg.connect(general.url(scene.database))
        for someone in (alice, bob, alice):
            await a_session(connection, someone)
        moment = await now(general)
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
        urls = urls_with(scene.servers, general, scene.database)
        await follow("finish", scene, folder, **urls)
        assert await owners(general, scene) == [alice.user_id, alice.user_id]
    finally:
        await asyncio.to_thread(general.stop)
