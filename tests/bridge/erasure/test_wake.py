"""A notification or the time makes a relay look; both survive the loss of a connection."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.bridge.erasure.wake import Bell
from app.server import create_app
from tests.support.commands import urls
from tests.support.erasure_scene import Scene, Subject
from tests.support.factories import World, a_session
from tests.support.pgbouncer import only_directly
from tests.support.servers import Servers, alive, settings_for

deaf_behind_it = only_directly("through PgBouncer a relay hears no notification")


async def until_done(scene: Scene, subject: Subject, **settings: Any) -> timedelta:
    """Runs a relay beside until it has erased the subject, deleted meanwhile."""
    done = asyncio.Event()

    async def hook(commit: str) -> None:
        if commit == "acknowledge":
            done.set()

    relay = scene.relay(hook=hook, **settings)
    looks = relay.bell.next()
    task = asyncio.create_task(relay.run())
    try:
        if settings["relay_listen"]:
            await looks.wait()
        await scene.delete(subject)
        async with asyncio.timeout(10):
            await done.wait()
    finally:
        task.cancel()
        await asyncio.wait({task})
    entry = await scene.entry(subject)
    took: timedelta = entry["completed_at"] - entry["changed_at"]
    return took


@deaf_behind_it
async def test_a_notification_wakes_an_idle_relay(
    scene: Scene, record_testsuite_property: Any
) -> None:
    alice = await scene.a_user(sessions=1)
    took = await until_done(scene, alice, relay_listen=True, relay_poll_seconds=3600)
    record_testsuite_property("seconds_from_deletion_to_receipt", took.total_seconds())


async def test_a_relay_without_notifications_finds_deletions(scene: Scene) -> None:
    alice = await scene.a_user(sessions=1)
    await until_done(scene, alice, relay_listen=False, relay_poll_seconds=0.01)


@deaf_behind_it
async def test_a_relay_listens_again_after_its_connection_is_lost(scene: Scene) -> None:
    """And looks at once, for what was deleted while it was deaf."""
    relay = scene.relay(relay_away_max_seconds=0.001)
    first = relay.bell.next()
    task = asyncio.create_task(relay.run())
    try:
        await first.wait()
        second = relay.bell.next()
        await scene.user.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        )
        async with asyncio.timeout(10):
            await second.wait()
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_the_service_erases_beside_serving(servers: Servers, database: str) -> None:
    """It is set up as shipped: nothing but the two URLs is given."""
    service = create_app(settings_for(servers, database, relay=True))
    transport = httpx.ASGITransport(app=service)  # pyright: ignore[reportArgumentType]  # ASGI is ASGI
    http = httpx.AsyncClient(transport=transport, base_url="http://bicameral")
    async with alive(service), http as nobody:
        world = World(service, nobody)
        boss, alice = await world.tenant_admin(), await world.member()
        await a_session(alice)
        deleted = await boss.http.delete(f"/v1/users/{alice.id}")
        location = deleted.headers["location"]
        async with asyncio.timeout(10):
            while (await boss.http.get(location)).json()["state"] != "complete":
                pass


async def test_litestar_relay_erases_until_it_is_told_to_stop(scene: Scene) -> None:
    alice = await scene.a_user(sessions=1)
    program = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("litestar"),
        "relay",
        env=environment(scene),
        stdout=PIPE,
        stderr=DEVNULL,
    )
    assert program.stdout
    try:
        async with asyncio.timeout(30):
            assert await program.stdout.readline() == b"The relay is running.\n"
            await scene.delete(alice)
            while not await scene.receipts():
                pass
        program.terminate()
        async with asyncio.timeout(10):
            assert await program.wait() == 0
    finally:
        with suppress(ProcessLookupError):
            program.kill()
    assert await scene.orphans() == 0


def environment(scene: Scene) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("DATABASE_")}
    return kept | urls(scene.servers, scene.database)


@pytest.mark.parametrize("turns", range(4))
async def test_a_notification_does_not_hide_a_cancellation(turns: int) -> None:
    """However many turns of the loop lie between: a relay told to stop stops."""
    bell = Bell()

    async def idle() -> None:
        while True:
            await bell.wait(bell.next(), 3600)

    task = asyncio.create_task(idle())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    bell.ring()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=5)
    assert done == {task}
