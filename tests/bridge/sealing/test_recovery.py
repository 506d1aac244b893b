"""The general server is recovered from a base backup and its WAL after a person was deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import asyncpg
import pytest

from app.accounts.wrapped_keys import WrappedKeys
from app.bridge.sealing.keys import Keys
from app.commands.embedded.cluster import Server
from app.config.settings import Settings
from app.databases.database import Databases
from app.databases.sealing.master_keys import KeyUnavailableError
from app.databases.sealing.person_keys import UnreadableError, place
from tests.support.backups import follow
from tests.support.drills import answered, everything, files_with, say
from tests.support.erasure_scene import Scene, open_scene
from tests.support.factories import Someone
from tests.support.pgbouncer import only_directly
from tests.support.point_in_time import (
    archive_folder,
    back_up_base,
    now,
    recovered,
    started,
    urls_with,
)
from tests.support.sealing import keys_on, master_keys
from tests.support.servers import Servers, settings_for
from tests.support.wire import service

pytestmark = [
    pytest.mark.slow,
    only_directly("it recovers a server of its own, which PgBouncer does not know"),
]
SESSIONS_OF = "SELECT count(*) FROM chat_sessions WHERE user_id = $1"
SEALED_OF = """
SELECT s.id AS session, m.id, m.sealed FROM chat_sessions s
JOIN messages m ON m.tenant_id = s.tenant_id AND m.session_id = s.id
WHERE s.user_id = $1
"""


class Drill(NamedTuple):
    """A general server was kept whose service has deleted alice; these are words and moments."""

    boss: Someone
    alice: Someone
    bob: Someone
    hers: tuple[str, str]  # before the base backup, and after it
    others: tuple[str, str]
    said: str  # the moment before she was deleted
    erased: str  # when her rows were gone


@pytest.fixture
async def folder(servers: Servers) -> AsyncGenerator[Path]:
    async with archive_folder(servers) as made:
        yield made


async def test_nobody_reads_a_deleted_person_in_a_recovered_server(
    scene: Scene, folder: Path
) -> None:
    drill = await drilled(scene, folder, seal_keys=master_keys("a"))
    marks = (*drill.hers, *drill.others)
    assert files_with(marks, folder) == []

    # The later moment comes first: a recovery follows the newest branch that an earlier one began.
    later = await recovered(scene, folder, drill.erased, "later")
    try:
        assert await rows(later, scene, drill.alice) == 0
        await _others_can(scene, later, drill)
    finally:
        await asyncio.to_thread(later.stop)

    general = await recovered(scene, folder, drill.said)
    try:
        await _cannot_be_read(scene, general, drill)
        await _others_can(scene, general, drill)
        urls = urls_with(scene.servers, general, scene.database)
        await follow("finish", scene, folder, **urls, SEAL_KEYS=master_keys("a"))
        assert await rows(general, scene, drill.alice) == 0
        await _others_can(scene, general, drill)
    finally:
        await asyncio.to_thread(general.stop)
    assert files_with(marks, folder) == []


async def test_unsealed_the_words_are_there(scene: Scene, folder: Path) -> None:
    """The control: in the base backup, in the WAL, and in the rows of the recovered server."""
    drill = await drilled(scene, folder, seal_keys=None)
    assert files_with(drill.hers[:1], folder / "base")
    assert files_with(drill.hers[1:], folder / "archive")
    general = await recovered(scene, folder, drill.said)
    try:
        connection = await asyncpg.connect(general.url(scene.database))
        told = await everything(connection)
        await connection.close()
        assert all(mark in told for mark in drill.hers)
    finally:
        await asyncio.to_thread(general.stop)


async def drilled(scene: Scene, folder: Path, *, seal_keys: str | None) -> Drill:
    """Talk before and after a base backup, delete alice and her rows, and stop the server."""
    hers, others = (uuid4().hex, uuid4().hex), (uuid4().hex, uuid4().hex)
    general = await started(scene, folder)
    pair = Servers(scene.servers.user, general)
    try:
        async with service(pair, scene.database, seal_keys=seal_keys) as it:
            people = [await it.world.member() for _ in range(2)]
            boss, (alice, bob) = await it.world.tenant_admin(), people
            for number in range(2):
                for someone, marks in ((alice, hers), (bob, others)):
                    await say(someone, marks[number])
                if number == 0:
                    await back_up_base(scene, folder, general)
            said = await now(general)
            async with open_scene(pair, scene.database, seal_keys=seal_keys) as there:
                assert await there.general.fetchval("SHOW wal_compression") == "off"
                assert (await boss.http.delete(f"/v1/users/{alice.id}")).status_code == 202
                assert await there.relay().run_once()
                assert await there.general.fetchval(SESSIONS_OF, alice.id) == 0
            erased = await now(general)
            await say(bob, "later")  # recovery ends at a moment that has WAL after it
    finally:
        await asyncio.to_thread(general.stop)  # which archives the rest
    return Drill(boss, alice, bob, hers, others, said, erased)


async def rows(general: Server, scene: Scene, someone: Someone) -> int:
    connection = await asyncpg.connect(general.url(scene.database))
    try:
        return int(await connection.fetchval(SESSIONS_OF, someone.id))
    finally:
        await connection.close()


async def _cannot_be_read(scene: Scene, general: Server, drill: Drill) -> None:
    """Her rows are there, and no statement, request or key that is left reads a word of them."""
    settings = beside(scene, general)
    connection = await asyncpg.connect(general.url(scene.database))
    told = await everything(connection)
    found = await connection.fetch(SEALED_OF, drill.alice.id)
    await connection.close()
    assert not any(mark in told for mark in drill.hers)
    assert len(found) == 2 * 2
    databases = Databases.create(settings)
    keys = keys_on(databases, settings, "a")
    with pytest.raises(KeyUnavailableError):
        await keys.key_of(drill.alice.tenant_id, drill.alice.id)
    for row in found:
        where = place("messages", drill.alice.tenant_id, row["session"], row["id"], "words")
        await _no_key_opens(keys, databases, row["sealed"], where)
    await databases.dispose()
    hers = await answered(drill.alice, settings, "/v1/me/export")
    assert hers.status_code == 401
    assert (await answered(drill.boss, settings, f"/v1/users/{drill.alice.id}/export")).is_error


async def _no_key_opens(keys: Keys, databases: Databases, sealed: bytes, where: bytes) -> None:
    async with databases.user.session() as session:
        living = await WrappedKeys(session).page(None, rows=100)
    assert living
    for owned in living:
        key = keys.master_keys.person_key(owned.key, owned.tenant_id, owned.user_id)
        with pytest.raises(UnreadableError):
            key.open(sealed, where)


async def _others_can(scene: Scene, general: Server, drill: Drill) -> None:
    export = await answered(drill.bob, beside(scene, general), "/v1/me/export")
    assert export.status_code == 200
    assert all(mark in export.text for mark in drill.others)
    assert '"later"' not in export.text


def beside(scene: Scene, general: Server) -> Settings:
    """Set a service with every key beside the recovered server."""
    pair = Servers(scene.servers.user, general)
    return settings_for(pair, scene.database, seal_keys=master_keys("a"))
