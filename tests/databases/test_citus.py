"""The service on a coordinator and two workers of Citus, where that is installed.

BICAMERAL_TESTS_CITUS=1 runs the other tests on one, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import asyncpg
import pytest
from alembic import command
from alembic.util import CommandError

from app.bridge.erasure.relay import Relay, relay_settings
from app.bridge.reconcile.reconciler import Reconciler, reconcile_settings
from app.commands.dev import create_database
from app.commands.embedded.pair import servers as embedded_servers
from app.commands.migrate import upgrade
from app.config.settings import Settings, SettingsError
from app.databases.database import Databases
from app.databases.opening import open_connection
from tests.support import citus
from tests.support.commands import Ended, litestar, urls
from tests.support.factories import Someone, World, a_session
from tests.support.migrations import configured
from tests.support.servers import Servers, chosen_programs, settings_for

NAME = "bicameral"
MESSAGE = {"role": "user", "content": "Hello"}
DISTRIBUTED = "SELECT logicalrelid::text FROM pg_dist_partition WHERE partmethod = 'h'"
OWNER = "INSERT INTO owners (tenant_id, user_id) SELECT u, u FROM gen_random_uuid() AS u"
FORGOTTEN = "SET session_replication_role = replica; DELETE FROM owners"
MOVE = """
SELECT citus_move_shard_placement(get_shard_id_for_distribution_column('owners', $1::uuid),
    '127.0.0.1', $2::int, '127.0.0.1', $3::int, 'force_logical')
"""
NOTE = "CREATE TABLE {} (tenant_id uuid NOT NULL, id uuid, PRIMARY KEY (tenant_id, id))"
# The worker that has the tenant's rows.
WORKER = """
SELECT nodeport FROM pg_dist_shard_placement
WHERE shardid = get_shard_id_for_distribution_column('owners', $1::uuid)
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Servers]:
    with TemporaryDirectory(prefix="bicameral-citus-") as folder:
        citus.only_with(chosen_programs(Path(folder), silent))
        with (
            embedded_servers(
                Path(folder), durable=False, tcp=True, report=silent, choose=chosen_programs
            ) as pair,
            citus.with_workers(pair[1]),
        ):
            yield Servers(*pair)


def silent(_: str) -> None:
    """Drop what `litestar dev` would print of its preparations."""


@pytest.fixture(scope="module")
async def distributed(cluster: Servers) -> Servers:
    await migrated(cluster, NAME)
    ended = await distribute(cluster, NAME)
    assert ended.code == 0, ended.err
    assert ended.out.startswith("Distributed by tenant: ")
    return cluster


async def migrated(cluster: Servers, name: str) -> Settings:
    for server in (cluster.user, *citus.nodes(cluster.general)):
        await create_database(server, name)
    await citus.make_cluster(cluster.general, name)
    settings = all_of(cluster, name)
    for database in ("user", "general"):
        upgrade(settings, database)
    return settings


def all_of(cluster: Servers, name: str) -> Settings:
    relay = {
        "database_url_user_relay": cluster.user.url(name, "bicameral_relay"),
        "database_url_general_relay": cluster.general.url(name, "bicameral_relay"),
    }
    return settings_for(cluster, name, **relay)


async def distribute(cluster: Servers, name: str) -> Ended:
    settings = all_of(cluster, name)
    owners = {
        "DATABASE_URL_USER_OWNER": settings.url("user", owner=True).dsn,
        "DATABASE_URL_GENERAL_OWNER": settings.url("general", owner=True).dsn,
    }
    return await litestar("distribute", env=urls(cluster, name) | owners)


@asynccontextmanager
async def on(
    servers: Servers, name: str, role: str = "postgres"
) -> AsyncGenerator[asyncpg.Connection]:
    connection = await asyncpg.connect(servers.general.url(name, role))
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def settings(distributed: Servers) -> Settings:
    return all_of(distributed, NAME)


async def test_only_an_empty_database_that_nobody_uses_is_distributed(cluster: Servers) -> None:
    """And each later upgrade distributes a new table, or stops."""
    settings = await migrated(cluster, "second")
    async with on(cluster, "second") as sql:
        await sql.execute(OWNER)
        assert (
            "there are rows in owners, which nobody" in (await distribute(cluster, "second")).line
        )
        await sql.execute(FORGOTTEN)
        service = await open_connection(settings, "general")
        line = (await distribute(cluster, "second")).line
        assert "the service is connected (1 connections)" in line
        await service.close()
        assert (await distribute(cluster, "second")).code == 0
        again = await distribute(cluster, "second")
        assert again.out == "The tables of the general database are distributed.\n"
    config = configured(settings, "general")
    await asyncio.to_thread(command.downgrade, config, "-1")
    async with on(cluster, "second", "bicameral_owner") as owner:
        await owner.execute(NOTE.format("a_note"))
        await asyncio.to_thread(upgrade, settings, "general")
        assert ("a_note",) in {tuple(row) for row in await owner.fetch(DISTRIBUTED)}
        await asyncio.to_thread(command.downgrade, config, "-1")
        await owner.execute(NOTE.format("filled"))
        await owner.execute("INSERT INTO filled SELECT u, u FROM gen_random_uuid() u")
        with pytest.raises(CommandError, match="the table filled has rows already"):
            await asyncio.to_thread(upgrade, settings, "general")


async def test_without_the_setting_the_service_does_not_start(
    distributed: Servers, settings: Settings
) -> None:
    """It would run, and find nothing of anybody: the control is a connection without it."""
    async with on(distributed, NAME) as sql:
        await sql.execute("SET citus.enable_ddl_propagation = off")
        await sql.execute(f"ALTER DATABASE {NAME} RESET citus.propagate_set_commands")
        databases = Databases.create(settings)
        with pytest.raises(SettingsError, match="on Citus every tenant would find nothing"):
            await databases.check()
        await databases.dispose()
        await citus.settle(distributed.general, NAME)


async def test_a_conversation_and_its_erasure(
    world: World, distributed: Servers, settings: Settings
) -> None:
    alice, boss = await world.member(), await world.tenant_admin()
    session = (await a_session(alice, "Norway"))["id"]
    path = f"/v1/chat-sessions/{session}/messages"
    key = {"Idempotency-Key": "one"}
    first = await alice.http.post(path, json=MESSAGE, headers=key)
    assert (await alice.http.post(path, json=MESSAGE, headers=key)).content == first.content
    batch = await alice.http.post(f"{path}/batch", json={"messages": [MESSAGE] * 3})
    assert batch.status_code == 201
    assert (await alice.http.patch(f"{path}/2", json={"content": "Hi"})).status_code == 200
    assert (await alice.http.delete(f"{path}/3")).status_code == 204
    page = (await alice.http.get(path)).json()["items"]
    assert [one["position"] for one in page] == [4, 2, 1]
    await _found_only_in_a_transaction(settings, alice, session)
    stranger = await world.someone("\\other\\stranger")
    assert (await stranger.http.get(path)).status_code == 404
    assert (await boss.http.delete(f"/v1/users/{alice.id}")).status_code == 202
    relay = Databases.create(relay_settings(settings))
    erasing = Relay(relay, relay_settings(settings))
    while await erasing.run_once():  # the first plans on a worker may take a turn's time
        pass
    await relay.dispose()
    erasure = (await boss.http.get(f"/v1/erasures/{alice.id}")).json()
    assert (erasure["state"], erasure["chat_sessions"], erasure["messages"]) == ("complete", 1, 3)
    assert await _differences(settings) == []


async def _found_only_in_a_transaction(settings: Settings, alice: Someone, session: str) -> None:
    connection = await open_connection(settings, "general")
    for begins_alone in (True, False):
        connection.begins_alone = begins_alone
        question = "SELECT * FROM find_session($1, $2, $3)"
        rows = await connection.fetch(question, alice.tenant_id, alice.id, UUID(session))
        assert len(rows) == begins_alone
    await connection.close()


async def _differences(settings: Settings) -> list[object]:
    databases = Databases.create(reconcile_settings(settings))
    found = await Reconciler(databases, reconcile_settings(settings)).find()
    await databases.dispose()
    return list(found)


async def test_a_worker_that_is_gone_is_503_for_its_tenants_alone(
    world: World, distributed: Servers
) -> None:
    people = [await world.someone(f"\\{await world.tenant()}\\one") for _ in range(8)]
    places = [f"/v1/chat-sessions/{(await a_session(one))['id']}/messages" for one in people]
    async with on(distributed, NAME) as sql:
        ports = [await sql.fetchval(WORKER, one.tenant_id) for one in people]
    dead = citus.nodes(distributed.general)[1]
    assert len({*ports}) == 2
    await citus.on(dead, "postgres", "CHECKPOINT")  # the tests' servers do not wait for the disk
    dead.kill()
    try:
        for one, place, port in zip(people, places, ports, strict=True):
            answer = await one.http.post(place, json=MESSAGE)
            assert answer.status_code == (503 if port == dead.port else 201), answer.text
    finally:
        dead.start()
    for one, place in zip(people, places, strict=True):
        assert (await one.http.post(place, json=MESSAGE)).status_code == 201


async def test_shards_are_moved_while_their_tenant_writes(
    world: World, distributed: Servers
) -> None:
    alice = await world.someone("\\moving\\alice")
    path = f"/v1/chat-sessions/{(await a_session(alice))['id']}/messages"
    _, *workers = citus.nodes(distributed.general)
    async with on(distributed, NAME, "bicameral_owner") as owner:
        at = await owner.fetchval(WORKER, alice.tenant_id)
        [to] = [worker.port for worker in workers if worker.port != at]
        moving = asyncio.create_task(owner.execute(MOVE, alice.tenant_id, at, to, timeout=60))
        count = 0
        while not moving.done():
            answer = await alice.http.post(path, json=MESSAGE)
            assert answer.status_code in (201, 503), answer.text
            count += answer.status_code == 201
        await moving
        assert await owner.fetchval(WORKER, alice.tenant_id) == to
    page = (await alice.http.get(path, params={"limit": 1, "order": "desc"})).json()["items"]
    assert count
    assert page[0]["position"] == count
