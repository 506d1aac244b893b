"""Connections that break while the relay works: around COMMIT, and anywhere else."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest

from app.bridge.erasure.relay import AwayError
from tests.support import pgbouncer
from tests.support.erasure_scene import Scene, Subject, open_scene
from tests.support.proxy import Act, Proxy, proxied
from tests.support.servers import Servers

# BEGIN … COMMIT in the general database: close, drain, two batches.
COMMITS = range(4)
SPARE_BYTES = 200  # one erasure's answers may be a little shorter than another's


@pytest.fixture
async def general(servers: Servers) -> AsyncIterator[Proxy]:
    async with proxied(pgbouncer.port(servers.general)) as proxy:
        yield proxy


@pytest.fixture
async def user(servers: Servers) -> AsyncIterator[Proxy]:
    async with proxied(pgbouncer.port(servers.user)) as proxy:
        yield proxy


@pytest.fixture
async def scene(
    servers: Servers, database: str, user: Proxy, general: Proxy
) -> AsyncIterator[Scene]:
    more = {
        "database_url_user": pgbouncer.url_at(user.port, database),
        "database_url_general": pgbouncer.url_at(general.port, database),
        "relay_batch_rows": 4,
        "db_statement_timeout_seconds": 0.2,  # a silent server is given up on 2 seconds later
        "db_connect_timeout_seconds": 0.5,
    }
    async with open_scene(servers, database, **more) as scene:
        yield scene


async def deleted(scene: Scene) -> Subject:
    await scene.a_user(sessions=1)
    alice = await scene.a_user(sessions=2)
    await scene.delete(alice)
    return alice


async def tried(scene: Scene) -> None:
    """Once, on fresh connections as after a cut; what comes of it is looked at later."""
    await asyncio.gather(scene.relay().run_once(), return_exceptions=True)


async def mended(scene: Scene, subject: Subject, *proxies: Proxy) -> None:
    """The fault is over: whatever state it left, the end is the same."""
    for proxy in proxies:
        proxy.heals()
    for database in (scene.databases.user, scene.databases.general):
        await database.dispose()
    async with asyncio.timeout(60):
        # What was cut holds its locks for a bit, and a busy machine is slower than this timeout; a
        # relay tries again as often as it takes.
        while not (await scene.entry(subject))["receipt"]:
            await scene.due()
            await tried(scene)
    entry = await scene.entry(subject)
    receipts = [one for one in await scene.receipts() if one["user_id"] == subject.user_id]
    assert [(one["chat_sessions"], one["messages"]) for one in receipts] == [(2, 4)]
    assert (entry["receipt"], entry["messages"]) == (receipts[0]["hash"], 4)
    assert entry["delivered_rev"] == entry["rev"]
    assert await scene.orphans() == 0


@pytest.mark.parametrize("act", [Act.CUT_BEFORE, Act.CUT_REPLY, Act.RESET_REPLY])
async def test_an_erasure_survives_a_cut_around_each_commit(
    scene: Scene, general: Proxy, act: Act
) -> None:
    """A COMMIT that never arrived, and one whose answer never came back, look alike from here."""
    for nth in COMMITS:
        alice = await deleted(scene)
        fault = general.breaks(act, b"COMMIT;", skip=nth)
        await tried(scene)
        assert fault.happened.is_set(), f"there is a COMMIT number {nth}"
        await mended(scene, alice, general)


async def test_an_erasure_survives_a_commit_answered_by_silence(
    scene: Scene, general: Proxy
) -> None:
    alice = await deleted(scene)
    fault = general.breaks(Act.SILENCE, b"COMMIT;", skip=2)
    await tried(scene)
    assert fault.happened.is_set()
    await mended(scene, alice, general)


@pytest.mark.slow
@pytest.mark.parametrize("side", ["user", "general"])
async def test_an_erasure_survives_a_cut_after_any_number_of_bytes(
    scene: Scene, user: Proxy, general: Proxy, side: str
) -> None:
    """The cuts are spread evenly over all that a whole erasure sends and receives."""
    proxy = {"user": user, "general": general}[side]
    await carried(scene, proxy)  # an engine's first connection asks for more than the later ones
    total = await carried(scene, proxy)
    for cut in range(1, total, total // 20):
        alice = await deleted(scene)
        await fresh(scene)
        fault = proxy.breaks(Act.CUT_BEFORE, skip=cut)
        await tried(scene)
        assert fault.happened.is_set()
        await mended(scene, alice, proxy)


async def carried(scene: Scene, proxy: Proxy) -> int:
    """Bytes, by an erasure nothing interrupts."""
    alice = await deleted(scene)
    await fresh(scene)
    proxy.breaks(Act.CUT_BEFORE, skip=sys.maxsize)
    await tried(scene)
    assert (await scene.entry(alice))["receipt"]
    return proxy.carried - SPARE_BYTES


async def fresh(scene: Scene) -> None:
    """Make each run carry the same bytes: connecting, preparing, and so on."""
    for database in (scene.databases.user, scene.databases.general):
        await database.dispose()


@pytest.mark.parametrize("side", ["user", "general"])
async def test_an_erasure_survives_a_database_behind_a_black_hole(
    scene: Scene, user: Proxy, general: Proxy, side: str
) -> None:
    """It takes connections and says nothing: given up on, and no blame on the erasure."""
    proxy = {"user": user, "general": general}[side]
    alice = await deleted(scene)
    proxy.is_black_hole = True
    with pytest.raises((AwayError, OSError)):
        await scene.relay().run_once()
    assert (await scene.entry(alice))["attempts"] == 0
    await mended(scene, alice, user, general)


async def test_an_erasure_works_over_a_slow_line(scene: Scene, general: Proxy) -> None:
    alice = await deleted(scene)
    general.latency_seconds = 0.02
    await mended(scene, alice)
