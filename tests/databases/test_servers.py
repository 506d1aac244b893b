"""A server killed with -9 or frozen while a large user is purged; the relay goes on by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from app.commands.embedded.cluster import Server
from tests.support.erasure_scene import Scene, a_session, open_scene
from tests.support.outages import freeze, kill, start, thaw
from tests.support.servers import Servers, run

MESSAGES = 50
Act = Callable[[Server], Awaitable[None]]


@pytest.fixture
async def scene(servers: Servers, database: str) -> AsyncIterator[Scene]:
    # The run's servers may forget the last commits in a crash; these databases may not.
    for server in servers:
        await run(server, f"ALTER DATABASE {database} SET synchronous_commit = on")
    patience = {
        "db_statement_timeout_seconds": 0.2,
        "db_connect_timeout_seconds": 0.5,
        "relay_away_max_seconds": 0.1,
        "relay_poll_seconds": 0.1,
        "relay_lease_seconds": 0.5,
        "relay_batch_rows": 5,
    }
    async with open_scene(servers, database, **patience) as scene:
        yield scene


@pytest.mark.parametrize("side", ["user", "general"])
@pytest.mark.parametrize(("breaks", "mends"), [(kill, start), (freeze, thaw)])
async def test_an_erasure_survives_a_server_killed_or_frozen_in_mid_purge(
    servers: Servers, scene: Scene, side: str, breaks: Act, mends: Act
) -> None:
    server: Server = getattr(servers, side)
    alice = await scene.a_user()
    await a_session(scene.general, alice, MESSAGES)
    await scene.delete(alice)
    hurt, broken, waiting, done = (asyncio.Event() for _ in range(4))

    async def hook(commit: str) -> None:
        if commit == "batch" and not hurt.is_set():
            hurt.set()
            await breaks(server)
            broken.set()
        # On a busy machine a connection may fail before anything is broken.
        if commit == "away" and broken.is_set():
            waiting.set()
        if commit == "acknowledge":
            done.set()

    relay = scene.relay(hook=hook)
    task = asyncio.create_task(relay.run())
    try:
        async with asyncio.timeout(30):
            await waiting.wait()
            await mends(server)
            await done.wait()
    finally:
        await mends(server)
        task.cancel()
        await asyncio.wait({task})
    async with open_scene(servers, scene.database) as again:
        (receipt,) = await again.receipts()
        assert (receipt["chat_sessions"], receipt["messages"]) == (1, MESSAGES)
        assert (await again.entry(alice))["receipt"] == receipt["hash"]
        assert await again.orphans() == 0
