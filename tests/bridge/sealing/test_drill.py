"""A dump of the general database is restored after a person was deleted: nobody can read them."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from app.commands.migrate import upgrade
from app.config.settings import Settings
from app.databases.database import Databases
from app.databases.sealing.master_keys import KeyUnavailableError
from tests.support.backups import back_up, follow
from tests.support.drills import answered, everything, say
from tests.support.erasure_scene import open_scene
from tests.support.factories import World
from tests.support.logins import superuser
from tests.support.sealing import keys_on, master_keys
from tests.support.servers import Servers, numbers, run, settings_for

OF_ALICE = "SELECT count(*) FROM chat_sessions WHERE user_id = $1"


@pytest.fixture(params=[True, False], ids=["sealed", "plain"])
def is_sealed(request: pytest.FixtureRequest) -> bool:
    """The control, with sealing off, shows that the words would be there."""
    return bool(request.param)


@pytest.fixture
def settings(servers: Servers, database: str, is_sealed: bool) -> Settings:
    return settings_for(servers, database, seal_keys=master_keys("a") if is_sealed else None)


@pytest.mark.slow
async def test_what_a_deleted_person_said_cannot_be_read_in_a_restored_dump(
    world: World,
    settings: Settings,
    servers: Servers,
    database: str,
    tmp_path: Path,
    is_sealed: bool,
) -> None:
    boss, alice, bob = await world.tenant_admin(), await world.member(), await world.member()
    mark, others = uuid4().hex, uuid4().hex
    await say(alice, mark)
    await say(bob, others)
    async with open_scene(servers, database) as scene:
        await back_up(scene, tmp_path)
        assert (mark in text_of(servers, tmp_path / "general.dump")) is not is_sealed
        assert (await on_disk(servers, database, mark)) is not is_sealed
        assert (await boss.http.delete(f"/v1/users/{alice.id}")).status_code == 202
        assert await scene.relay().run_once()
        name = f"drill_{next(numbers)}"
        await run(servers.general, f"CREATE DATABASE {name}")
        try:
            urls = urls_of(servers, database, name)
            await follow("restore_general", scene, tmp_path, **urls)
            restored = Settings.model_validate(settings.model_dump() | general_of(urls))
            await asyncio.to_thread(upgrade, restored, "general")
            async with superuser(servers.general.url(name)) as general:
                assert await general.fetchval(OF_ALICE, alice.id) == 1
                assert (mark in await everything(general)) is not is_sealed
            if is_sealed:
                # No key is there for the rows that are back, and none is made.
                databases = Databases.create(restored)
                with pytest.raises(KeyUnavailableError):
                    await keys_on(databases, restored, "a").key_of(alice.tenant_id, alice.id)
                await databases.dispose()
            assert others in (await answered(bob, restored, "/v1/me/export")).text
            await follow("finish", scene, tmp_path, **urls)
            async with superuser(servers.general.url(name)) as general:
                assert await general.fetchval(OF_ALICE, alice.id) == 0
                assert await general.fetchval(OF_ALICE, bob.id) == 1
        finally:
            await run(servers.general, f"DROP DATABASE {name} WITH (FORCE)")


def text_of(servers: Servers, dump: Path) -> str:
    """Give a dump as SQL."""
    program = servers.general.programs.folder / "pg_restore"
    return subprocess.run(
        [program, "--file=-", str(dump)], capture_output=True, text=True, check=True
    ).stdout


async def on_disk(servers: Servers, database: str, mark: str) -> bool:
    """Look for it in all that the general server has written, as `strings` does."""
    await run(servers.general, "CHECKPOINT", database)
    files = [file for file in servers.general.data_dir.rglob("*") if file.is_file()]
    return any(mark.encode() in file.read_bytes() for file in files if "log" not in file.name)


def urls_of(servers: Servers, database: str, restored: str) -> dict[str, str]:
    names = {"USER": (servers.user, database), "GENERAL": (servers.general, restored)}
    return {
        f"{'DATABASE_URL_' if login else ''}{name}{suffix}": server.url(where, *login)
        for name, (server, where) in names.items()
        for suffix, login in (
            ("_ADMIN_URL", ()),
            ("", ("bicameral_app",)),
            ("_OWNER", ("bicameral_owner",)),
        )
    }


def general_of(urls: dict[str, str]) -> dict[str, str]:
    names = ("DATABASE_URL_GENERAL", "DATABASE_URL_GENERAL_OWNER")
    return {name.lower(): urls[name] for name in names}
