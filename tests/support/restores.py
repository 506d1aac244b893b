"""A database of the scene is copied, and later put back as it was then."""

from __future__ import annotations

import asyncpg

from app.databases.connection import DatabaseName
from tests.support.erasure_scene import Scene
from tests.support.servers import run

END_ALL = "SELECT pg_terminate_backend(pid, 9999) FROM pg_stat_activity WHERE datname = '{}'"


async def back_up(scene: Scene, name: DatabaseName) -> None:
    await _alone(scene, name, f"CREATE DATABASE backup TEMPLATE {scene.database}")


async def restore(scene: Scene, name: DatabaseName) -> None:
    drop = f"DROP DATABASE {scene.database} WITH (FORCE)"
    await _alone(scene, name, drop, f"ALTER DATABASE backup RENAME TO {scene.database}")


async def _alone(scene: Scene, name: DatabaseName, *statements: str) -> None:
    """With nobody connected, PgBouncer neither."""
    server = getattr(scene.servers, name)
    await getattr(scene, name).close()
    await getattr(scene.databases, name).dispose()
    for statement in (END_ALL.format(scene.database), *statements):
        await run(server, statement)
    setattr(scene, name, await asyncpg.connect(server.url(scene.database)))
