"""The relay and reconcile do as their settings say, not as the defaults do."""

from __future__ import annotations

import asyncio
import time

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app.bridge.erasure.relay import Relay
from app.bridge.erasure.wake import Bell
from app.bridge.reconcile.reconciler import reconcile_settings
from app.bridge.rows import fetch_value
from app.databases.database import Databases
from app.server import create_app
from tests.support.erasure_scene import Scene
from tests.support.locks import lock_rows, until_waiting
from tests.support.log_lines import events
from tests.support.servers import Servers, alive, settings_for

WORKERS, SUBJECTS = 3, 6
STOP_SECONDS = 9  # of which a third is for giving back what is held
ROUND_TRIPS = 100
LEDGER = "SELECT FROM subject_ledger FOR UPDATE"
LISTENING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
)
SOON_SECONDS = 4
NOBODY_THERE = "postgresql://x@127.0.0.1:1/x"


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


class Listened(Bell):
    """A bell that tells for how long somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def wait(self, rung: asyncio.Event, timeout_seconds: float) -> None:
        if not self.waited.done():
            self.waited.set_result(timeout_seconds)
        await super().wait(rung, timeout_seconds)


async def test_a_relay_looks_again_after_the_time_that_the_setting_says(scene: Scene) -> None:
    """And listens only where it is to."""
    relay = scene.relay(relay_listen=False, relay_poll_seconds=3600)
    relay.bell = bell = Listened()
    task = asyncio.create_task(relay.run())
    try:
        assert await bell.waited == 3600
        for _ in range(ROUND_TRIPS):
            assert not await scene.user.fetchval(LISTENING)
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_a_relay_tries_a_database_that_is_away_as_often_as_the_setting_says(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    """It tries to work and to listen, and each time it fails is a line of the log."""
    own = {"relay_away_max_seconds": 0.01, "database_url_user": SecretStr(NOBODY_THERE)}
    settings = scene.settings.model_copy(update=own)
    databases = Databases.create(settings)
    task = asyncio.create_task(Relay(databases, settings).run())
    lines = ""
    try:
        async with asyncio.timeout(SOON_SECONDS):  # less than the default
            while not all(len(events(lines, name)) > 2 for name in ("relay_waits", "relay_deaf")):
                await asyncio.sleep(0.01)
                lines += capsys.readouterr().err
    finally:
        task.cancel()
        await asyncio.wait({task})
        await databases.dispose()
    assert {line["seconds"] for line in events(lines, "relay_waits")} == {0.01}


@pytest.mark.parametrize("relay", [False, True])
async def test_a_relay_runs_beside_the_service_where_it_is_to(
    servers: Servers, database: str, relay: bool
) -> None:
    async with alive(create_app(settings_for(servers, database, relay=relay))):
        assert ("relay" in {task.get_name() for task in asyncio.all_tasks()}) is relay


async def test_a_relay_that_stops_has_the_time_that_the_setting_says(scene: Scene) -> None:
    """It waits for a row that somebody holds, to give its erasure back."""
    alice = await scene.a_user(sessions=1)
    await scene.delete(alice)
    relay = scene.relay(relay_stop_seconds=STOP_SECONDS)
    async with scene.general.transaction():
        await lock_rows(scene.general, "owners")
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
