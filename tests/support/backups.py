"""Follows migrations/README.md, "Backups": its blocks of commands, by their names there."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import asyncpg
import pytest

from app.databases.connection import DatabaseName
from tests.support import sealing
from tests.support.commands import pasted
from tests.support.erasure_scene import Scene
from tests.support.servers import LOUD, ROOT, numbers, run

PAGE = (ROOT / "migrations" / "README.md").read_text()
SECTION = PAGE.split("## Backups")[1]
OPEN_TO_ALL = """
SELECT acl.grantee FROM pg_database d, aclexplode(coalesce(datacl, acldefault('d', datdba))) AS acl
WHERE datname = current_database() AND acl.grantee = 0
"""
COMMANDS = dict(re.findall(r"(?ms)^<!-- drill: (\w+) -->\n```bash\n(.*?)^```$", SECTION))


async def back_up(scene: Scene, folder: Path) -> None:
    user, general = (server.url(scene.database, "bicameral_backup") for server in scene.servers)
    await follow("back_up", scene, folder, USER_BACKUP_URL=user, GENERAL_BACKUP_URL=general)


class Restored(NamedTuple):
    """The names of the restored pair's URLs, and what the last command wrote."""

    urls: dict[str, str]
    out: str


@asynccontextmanager
async def restored(
    scene: Scene, folder: Path, names: Sequence[DatabaseName]
) -> AsyncGenerator[Restored]:
    """Follow the page for these databases."""
    empty = f"restored_{next(numbers)}"
    urls = dict(sealing.ENVIRONMENT)
    for name, server in scene.servers._asdict().items():
        database = empty if name in names else scene.database
        urls[f"{name.upper()}_ADMIN_URL"] = server.url(database)
        urls[f"DATABASE_URL_{name.upper()}"] = server.url(database, "bicameral_app")
        urls[f"DATABASE_URL_{name.upper()}_OWNER"] = server.url(database, "bicameral_owner")
    servers = [getattr(scene.servers, name) for name in names]
    for server in servers:
        await run(server, f"CREATE DATABASE {empty}")
    try:
        out = ""
        finish = "finish" if len(names) == 1 else "finish_both"
        for drill in (*(f"restore_{name}" for name in names), finish):
            out = await follow(drill, scene, folder, **urls)
        yield Restored(urls, out)
    finally:
        for server in servers:
            await run(server, f"DROP DATABASE {empty} WITH (FORCE)")


async def follow(drill: str, scene: Scene, folder: Path, **urls: str) -> str:
    """Run a block of the page, with the dumps in a folder of the test's; return its output."""
    programs = scene.servers.user.programs.folder
    if not shutil.which("pg_restore", path=str(programs)):
        pytest.skip(f"{LOUD}: no pg_dump and pg_restore beside the servers")
    commands = re.sub(r"(\w+\.dump)", rf"{folder}/\1", COMMANDS[drill])
    return await pasted(commands, urls, programs)


async def rows(url: str, statement: str) -> list[UUID]:
    connection = await asyncpg.connect(url)
    try:
        return [row[0] for row in await connection.fetch(statement)]
    finally:
        await connection.close()
