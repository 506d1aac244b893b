"""The commands of migrations/README.md, "Backups", run as they stand there."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from tests.support.erasure_scene import Scene, dump
from tests.support.servers import LOUD, ROOT, numbers, run

PAGE = (ROOT / "migrations" / "README.md").read_text()
SECTION = PAGE.split("## Backups")[1]
COMMANDS = dict(re.findall(r"(?ms)^<!-- drill: (\w+) -->\n```bash\n(.*?)^```$", SECTION))


def bash(commands: str, scene: Scene, folder: Path, restored: str) -> None:
    """Run them with the URLs that the page speaks of, and the dumps in a folder of the test's."""
    user, general = scene.servers
    programs = user.programs.folder
    if not shutil.which("pg_restore", path=str(programs)):
        pytest.skip(f"{LOUD}: no pg_dump and pg_restore beside the servers")
    urls = {
        "USER_BACKUP_URL": user.url(scene.database, "bicameral_backup"),
        "GENERAL_BACKUP_URL": general.url(scene.database, "bicameral_backup"),
        "RESTORED_ADMIN_URL": user.url(restored),
        "DATABASE_URL_USER_OWNER": user.url(restored, "bicameral_owner"),
        "DATABASE_URL_USER": user.url(restored, "bicameral_app"),
        "DATABASE_URL_GENERAL": general.url(scene.database, "bicameral_app"),
        "DATABASE_URL_GENERAL_OWNER": general.url(scene.database, "bicameral_owner"),
    }
    path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", re.sub(r"(\w+\.dump)", rf"{folder}/\1", commands)],
        cwd=ROOT,
        env=os.environ | urls | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr + done.stdout


async def test_the_page_is_followed_from_the_backup_to_the_service(
    scene: Scene, tmp_path: Path
) -> None:
    """One who was deleted after the backup does not come back; nobody else is lost."""
    alice, bob = await scene.a_user(sessions=2), await scene.a_user(sessions=1)
    restored = f"restored_{next(numbers)}"
    await asyncio.to_thread(bash, COMMANDS["back_up"], scene, tmp_path, restored)
    await scene.delete(bob)
    assert await scene.relay().run_once()
    await run(scene.servers.user, f"CREATE DATABASE {restored}")
    try:
        await asyncio.to_thread(bash, COMMANDS["restore"], scene, tmp_path, restored)
        connection = await asyncpg.connect(scene.servers.user.url(restored))
        found = [row["id"] for row in await connection.fetch("SELECT id FROM users")]
        await connection.close()
    finally:
        await run(scene.servers.user, f"DROP DATABASE {restored} WITH (FORCE)")
    assert found == [alice.user_id]
    assert await scene.orphans() == 0


async def test_a_dump_holds_every_row_of_all_tenants(scene: Scene, tmp_path: Path) -> None:
    for _ in range(3):
        await scene.a_user(sessions=2)
    rows = await dump(scene, set())
    await asyncio.to_thread(bash, COMMANDS["back_up"], scene, tmp_path, "none")
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
