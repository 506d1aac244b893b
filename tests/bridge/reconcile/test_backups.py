"""The commands of migrations/README.md, "Backups", run as they stand there."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from tests.support.backups import follow
from tests.support.erasure_scene import Scene, dump
from tests.support.servers import numbers, run

OPEN_TO_ALL = """
SELECT acl.grantee FROM pg_database d, aclexplode(coalesce(datacl, acldefault('d', datdba))) AS acl
WHERE datname = current_database() AND acl.grantee = 0
"""


async def back_up(scene: Scene, folder: Path) -> None:
    user, general = (server.url(scene.database, "bicameral_backup") for server in scene.servers)
    await follow("back_up", scene, folder, USER_BACKUP_URL=user, GENERAL_BACKUP_URL=general)


@asynccontextmanager
async def restored(scene: Scene, folder: Path, names: list[str]) -> AsyncGenerator[dict[str, str]]:
    """Follow the page for these databases. The names of the URLs are of the restored pair."""
    empty = f"restored_{next(numbers)}"
    urls = dict[str, str]()
    for name, server in scene.servers._asdict().items():
        database = empty if name in names else scene.database
        urls[f"{name.upper()}_ADMIN_URL"] = server.url(database)
        urls[f"DATABASE_URL_{name.upper()}"] = server.url(database, "bicameral_app")
        urls[f"DATABASE_URL_{name.upper()}_OWNER"] = server.url(database, "bicameral_owner")
    servers = [getattr(scene.servers, name) for name in names]
    for server in servers:
        await run(server, f"CREATE DATABASE {empty}")
    try:
        for drill in (*(f"restore_{name}" for name in names), "finish"):
            await follow(drill, scene, folder, **urls)
        yield urls
    finally:
        for server in servers:
            await run(server, f"DROP DATABASE {empty} WITH (FORCE)")


async def rows(url: str, statement: str) -> list[UUID]:
    connection = await asyncpg.connect(url)
    try:
        return [row[0] for row in await connection.fetch(statement)]
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "names", [["user"], ["general"], ["user", "general"]], ids=lambda names: "_and_".join(names)
)
async def test_the_page_is_followed_from_the_backup_to_the_service(
    scene: Scene, tmp_path: Path, names: list[str]
) -> None:
    """Whom the other database knows to be deleted does not come back; nobody else is lost."""
    alice, bob = await scene.a_user(sessions=2), await scene.a_user(sessions=1)
    await back_up(scene, tmp_path)
    await scene.delete(bob)
    assert await scene.relay().run_once()
    async with restored(scene, tmp_path, names) as urls:
        users = await rows(urls["USER_ADMIN_URL"], "SELECT id FROM users")
        owners = await rows(urls["GENERAL_ADMIN_URL"], "SELECT user_id FROM chat_sessions")
        for name in names:
            assert await rows(urls[f"{name.upper()}_ADMIN_URL"], OPEN_TO_ALL) == []
    back = [bob.user_id] if len(names) == 2 else []  # nothing knows of the deletion any more
    assert sorted(users) == sorted([alice.user_id, *back])
    assert sorted(owners) == sorted([alice.user_id, alice.user_id, *back])


async def test_a_dump_holds_every_row_of_all_tenants(scene: Scene, tmp_path: Path) -> None:
    for _ in range(3):
        await scene.a_user(sessions=2)
    rows = await dump(scene, set())
    await back_up(scene, tmp_path)
    for name, tables in (("user", ("users", "subject_ledger")), ("general", ("messages",))):
        for table in tables:
            assert copied(scene, tmp_path / f"{name}.dump", table) == len(rows[table])


def copied(scene: Scene, file: Path, table: str) -> int:
    """Count a table's rows in a dump."""
    program = scene.servers.user.programs.folder / "pg_restore"
    options = ["--data-only", f"--table={table}", "--file=-", str(file)]
    done = subprocess.run([program, *options], capture_output=True, text=True, check=True)
    rows = done.stdout.split(" FROM stdin;\n")[1].split("\\.\n")[0]
    return len(rows.splitlines())


async def test_the_login_for_backups_changes_nothing(scene: Scene) -> None:
    for server in scene.servers:
        connection = await asyncpg.connect(server.url(scene.database, "bicameral_backup"))
        await connection.execute("SET default_transaction_read_only = off")
        table = "users" if server is scene.servers.user else "messages"
        for statement in (f"DELETE FROM {table}", f"TRUNCATE {table}", "CREATE TABLE mine ()"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        await connection.close()
