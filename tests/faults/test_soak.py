"""Deletions under load while servers and relays are killed, at moments drawn from a seed."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import pytest

from app.bridge.erasure.receipts import export, verify
from app.bridge.erasure.relay import Relay
from app.config.settings import Settings
from app.databases.database import Databases
from app.http.security import Principal
from tests.support.chat import append, open_session
from tests.support.erasure_scene import Scene, Subject, open_scene
from tests.support.servers import Servers, run, settings_for

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "6"))
SEED = int(os.environ.get("SOAK_SEED", "1"))
USERS_PER_ROUND = 60
CLIENTS = 20
FAST: dict[str, Any] = {
    "relay_away_max_seconds": 0.1,
    "relay_lease_seconds": 1,
    "relay_backoff_seconds": 0.05,
    "relay_poll_seconds": 0.1,
    "relay_batch_rows": 20,
    "db_statement_timeout_seconds": 1,
}


async def write(databases: Databases, people: list[Subject], chance: random.Random) -> None:
    """Write for ever, for anybody: they may be deleted, and the database away."""
    while True:
        one = chance.choice(people)
        late = Principal(one.user_id, one.tenant_id, "\\t\\late", frozenset())
        with suppress(Exception):
            opened = await open_session(databases.general, late)
            await append(databases.general, late, opened.id, chance.randrange(1, 40))
        await asyncio.sleep(0)


async def relays(databases: Databases, settings: Settings, chance: random.Random) -> None:
    """One after the other, each stopped without warning."""
    while True:
        task = asyncio.create_task(Relay(databases, settings).run())
        try:
            await asyncio.wait({task}, timeout=chance.random())
        finally:
            task.cancel()
            await asyncio.wait({task})


@asynccontextmanager
async def busy(
    databases: Databases, settings: Settings, people: list[Subject], chance: random.Random
) -> AsyncGenerator[None]:
    work = [write(databases, people, chance) for _ in range(CLIENTS)]
    work += [relays(databases, settings, chance) for _ in range(2)]
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def hurt(servers: Servers, chance: random.Random) -> None:
    server = chance.choice(servers)
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(chance.random() / 2)
    await asyncio.to_thread(server.start)


async def deleted(user: asyncpg.Connection, people: list[Subject]) -> None:
    for one in people:
        await user.execute("DELETE FROM users WHERE id = $1", one.user_id)


async def settled(scene: Scene) -> None:
    """None that runs by itself is left: one round claims whatever is pending."""
    await scene.due()
    while await scene.relay().run_once():
        await scene.due()
    assert not await scene.user.fetchval(PENDING)


@pytest.mark.soak
async def test_an_erasure_leaves_nothing_however_it_is_interrupted(
    servers: Servers, database: str
) -> None:
    for server in servers:
        await run(server, f"ALTER DATABASE {database} SET synchronous_commit = on")
    chance, gone = random.Random(SEED), list[Subject]()  # noqa: S311  not for secrets
    settings = settings_for(servers, database, **FAST)
    databases = Databases.create(settings)
    for _ in range(ROUNDS):
        async with open_scene(servers, database) as scene:
            tenant_id = await scene.a_tenant()
            people = [await scene.a_user(tenant_id) for _ in range(USERS_PER_ROUND)]
            async with busy(databases, settings, people, chance):
                await asyncio.sleep(chance.random())
                await deleted(scene.user, people[::2])
                gone += people[::2]
                await hurt(servers, chance)
                await asyncio.sleep(chance.random() * 2)
    await databases.dispose()
    async with open_scene(servers, database) as scene:
        await settled(scene)
        assert await scene.orphans() == 0
        receipts = await scene.receipts()
        assert {one["user_id"] for one in receipts} == {one.user_id for one in gone}
        assert verify([line async for line in export(scene.databases.general)]).receipts == len(
            gone
        )
        for one in receipts:
            entry = await scene.user.fetchrow(ENTRY, one["user_id"])
            assert entry == (one["hash"], one["chat_sessions"], one["messages"])


PENDING = "SELECT count(*) FROM subject_ledger WHERE delivered_rev < rev"
ENTRY = "SELECT receipt, chat_sessions, messages FROM subject_ledger WHERE user_id = $1"
