"""Databases of the service on a coordinator and two workers of Citus, and what tests do there."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from uuid import UUID, uuid4

import asyncpg

from app.bridge.reconcile.reconciler import Reconciler, reconcile_settings
from app.commands.dev import create_database
from app.commands.embedded.cluster import Server
from app.commands.migrate import upgrade
from app.config.settings import Settings
from app.databases.database import Databases
from tests.support import citus
from tests.support.commands import Ended, litestar, urls
from tests.support.factories import Someone, World, a_session
from tests.support.servers import Servers, settings_for

NAME = "bicameral"
# The worker that has the tenant's rows.
WORKER = """
SELECT nodeport FROM pg_dist_shard_placement
WHERE shardid = get_shard_id_for_distribution_column('owners', $1::uuid)
"""
MOVE = """
SELECT citus_move_shard_placement(get_shard_id_for_distribution_column('owners', $1::uuid),
    '127.0.0.1', $2::int, '127.0.0.1', $3::int, 'force_logical')
"""


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


def environment(cluster: Servers, name: str) -> dict[str, str]:
    settings = all_of(cluster, name)
    return urls(cluster, name) | {
        "DATABASE_URL_USER_OWNER": settings.url("user", owner=True).dsn,
        "DATABASE_URL_GENERAL_OWNER": settings.url("general", owner=True).dsn,
        "DATABASE_URL_USER_RELAY": cluster.user.url(name, "bicameral_relay"),
        "DATABASE_URL_GENERAL_RELAY": cluster.general.url(name, "bicameral_relay"),
    }


async def distribute(cluster: Servers, name: str) -> Ended:
    return await litestar("distribute", env=environment(cluster, name))


@asynccontextmanager
async def on(
    servers: Servers, name: str, role: str = "postgres"
) -> AsyncGenerator[asyncpg.Connection]:
    connection = await asyncpg.connect(servers.general.url(name, role))
    try:
        yield connection
    finally:
        await connection.close()


async def differences(settings: Settings) -> list[object]:
    databases = Databases.create(reconcile_settings(settings))
    found = await Reconciler(databases, reconcile_settings(settings)).find()
    await databases.dispose()
    return list(found)


async def move(cluster: Servers, tenant_id: UUID) -> None:
    """Move the tenant's shard to the other worker, without stopping those who write."""
    async with on(cluster, NAME, "bicameral_owner") as owner:
        at = await owner.fetchval(WORKER, tenant_id)
        [to] = [one.port for one in citus.nodes(cluster.general)[1:] if one.port != at]
        await owner.execute(MOVE, tenant_id, at, to, timeout=100)
        assert await owner.fetchval(WORKER, tenant_id) == to


@dataclass
class Writer:
    """Sends one message after the other, each until it is acknowledged, under one key."""

    someone: Someone
    path: str
    worker: int
    acknowledged: list[str] = field(default_factory=list[str])
    statuses: Counter[int] = field(default_factory=Counter[int])
    seconds: list[float] = field(default_factory=list[float])

    async def write(self, is_over: Callable[[], bool]) -> None:
        while not is_over():
            await self.send()

    async def send(self) -> None:
        text, status = str(uuid4()), 0
        while status != 201:
            began = monotonic()
            status = (
                await self.someone.http.post(
                    self.path,
                    json={"role": "user", "content": text},
                    headers={"Idempotency-Key": text},
                )
            ).status_code
            assert status in (201, 503), status
            self.statuses[status] += 1
            self.seconds.append(monotonic() - began)
        self.acknowledged.append(text)

    async def stored(self) -> list[str]:
        """Read all that was said, the oldest first."""
        texts: list[str] = []
        query: dict[str, str] = {"order": "asc"}
        while True:
            page = (await self.someone.http.get(self.path, params=query)).json()
            texts += [one["content"] for one in page["items"]]
            if page["next"] is None:
                return texts
            query["after"] = page["next"]


async def writers(world: World, cluster: Servers, count: int) -> list[Writer]:
    """Make people, each in a tenant of their own, on both workers."""
    made: list[Writer] = []
    async with on(cluster, NAME) as sql:
        while len(made) < count or len({one.worker for one in made}) < 2:
            someone = await world.someone(f"\\{await world.tenant()}\\one")
            path = f"/v1/chat-sessions/{(await a_session(someone))['id']}/messages"
            made.append(Writer(someone, path, await sql.fetchval(WORKER, someone.tenant_id)))
    return made


def apart(made: Sequence[Writer], server: Server) -> tuple[list[Writer], list[Writer]]:
    """Part those whose rows this worker has from the others."""
    return (
        [one for one in made if one.worker == server.port],
        [one for one in made if one.worker != server.port],
    )
