"""The commands of migrations/README.md, "Backups", run as they stand there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import asyncpg
import pytest

from app.databases.connection import DatabaseName
from tests.support.backups import OPEN_TO_ALL, back_up, restored, rows
from tests.support.erasure_scene import Scene, dump


@pytest.mark.slow
@pytest.mark.parametrize(
    "names", [["general"], ["user", "general"]], ids=lambda names: "_and_".join(names)
)
async def test_the_page_is_followed_from_the_backup_to_the_service(
    scene: Scene, tmp_path: Path, names: list[DatabaseName]
) -> None:
    """Whom the other database knows to be deleted does not come back; nobody else is lost. The user
    database alone is in test_old_credentials.py.
    """
    alice, bob = await scene.a_user(sessions=2), await scene.a_user(sessions=1)
    await back_up(scene, tmp_path)
    await scene.delete(bob)
    assert await scene.relay().run_once()
    async with restored(scene, tmp_path, names) as (urls, _):
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
