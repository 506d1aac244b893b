"""The relay and reconcile do as their settings say, not as the defaults do."""

from __future__ import annotations

import asyncio
import time

from sqlalchemy import text

from app.bridge.reconcile.reconciler import reconcile_settings
from app.bridge.rows import fetch_value
from app.databases.database import Databases
from tests.support.erasure_scene import Scene
from tests.support.locks import until_waiting

WORKERS, SUBJECTS = 3, 6
STOP_SECONDS = 9  # of which a third is for giving back what is held
ROUND_TRIPS = 100
LEDGER = "SELECT FROM subject_ledger FOR UPDATE"
OWNERS = "SELECT FROM owners FOR UPDATE"


async def test_a_relay_has_as_many_workers_as_the_setting_says(scene: Scene) -> None:
    for _ in range(SUBJECTS):
        await scene.delete(await scene.a_user(sessions=1))
    at_work = 0
    all_of_them = asyncio.Event()

    async def hook(_: str) -> None:
        nonlocal at_work
        at_work += 1
        if at_work == WORKERS:
            all_of_them.set()
        await asyncio.Event().wait()

    relay = asyncio.create_task(scene.relay(hook=hook, relay_workers=WORKERS).run())
    try:
        await all_of_them.wait()
        for _ in range(ROUND_TRIPS):  # enough for another to come this far
            await scene.user.fetchval("SELECT 1")
        assert at_work == WORKERS
    finally:
        relay.cancel()
        await asyncio.wait({relay})


async def test_a_relay_that_stops_has_the_time_that_the_setting_says(scene: Scene) -> None:
    """It waits for a row that somebody holds, to give its erasure back."""
    alice = await scene.a_user(sessions=1)
    await scene.delete(alice)
    relay = scene.relay(relay_stop_seconds=STOP_SECONDS)
    async with scene.general.transaction():
        await scene.general.execute(OWNERS)
        task = asyncio.create_task(relay.run_once())
        await until_waiting(scene.general)
        async with scene.user.transaction():
            await scene.user.execute(LEDGER)
            began = time.monotonic()
            task.cancel()
            await asyncio.wait({task})
    assert time.monotonic() - began >= STOP_SECONDS / 3 * 0.9


async def test_reconcile_has_the_time_for_a_statement_that_the_setting_says(scene: Scene) -> None:
    seconds = {"reconcile_statement_timeout_seconds": 77}
    databases = Databases.create(reconcile_settings(scene.settings.model_copy(update=seconds)))
    try:
        for database in (databases.user, databases.general):
            assert await fetch_value(database, text("SHOW statement_timeout")) == "77s"
    finally:
        await databases.dispose()
