"""An export opens what is sealed, and an import seals it again, under the person's key."""

from __future__ import annotations

from base64 import b64encode

import pytest

from app.config.settings import Settings
from app.databases.database import Databases
from app.server import create_app
from tests.support.factories import World
from tests.support.importing import exported, imported
from tests.support.life import a_life
from tests.support.moved import Target
from tests.support.servers import Servers, alive, settings_for

KEY = f"one:{b64encode(bytes(32)).decode()}"


@pytest.fixture
def settings(servers: Servers, database: str) -> Settings:
    return settings_for(servers, database, seal_keys=KEY)


async def test_what_is_sealed_moves_and_is_sealed_there(
    world: World, target: Target, settings: Settings
) -> None:
    alice = await world.member()
    paths = await a_life(alice)
    file = await exported(world.databases, settings)
    assert b'"content":"told"' in file
    there = target.settings_with(seal_keys=KEY)
    databases = Databases.create(there)
    try:
        result = await imported(databases, there, file)
        assert (result.said, result.done.people) == ([], 1)
        again = await imported(databases, there, file)
        assert (again.said, again.done.people, again.done.present) == ([], 0, 1)
    finally:
        await databases.dispose()
    assert not [one for one in await target.rows("messages") if "told" in one]
    assert await target.rows("keys") == await target.rows("keys", before=True)
    moved = create_app(there)
    async with alive(moved):
        hers = World(moved, world.nobody).same(alice)
        for path in paths:
            before, after = await alice.http.get(path), await hers.http.get(path)
            assert (after.status_code, after.content) == (before.status_code, before.content)
            assert after.headers.get("etag") == before.headers.get("etag")
        again = {"role": "assistant", "content": "told", "client_id": "turn-1"}
        answer = await hers.http.post(
            f"{paths[0]}/messages", json=again | {"status": "in_progress"}
        )
        assert answer.status_code == 200  # nothing is stored twice: its digest has moved, too
