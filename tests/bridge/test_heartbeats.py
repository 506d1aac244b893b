"""A database restored from a backup is found out by what the other one has seen of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from app.bridge.heartbeats import beat, beat_for_ever, heartbeat, restored
from app.databases.connection import DATABASES, DatabaseName
from app.telemetry.metrics import render
from tests.support.erasure_scene import Scene
from tests.support.log_lines import events
from tests.support.restores import back_up, restore

AT_ONCE = timedelta()


async def test_no_database_is_behind_whoever_beats_at_the_same_time(scene: Scene) -> None:
    assert await restored(scene.databases) == []  # before the first beat

    async def beats() -> None:
        for _ in range(20):
            assert await beat(scene.databases, AT_ONCE) == []

    async def looks() -> None:
        for _ in range(20):
            assert await restored(scene.databases) == []

    await asyncio.gather(beats(), beats(), beats(), looks(), looks())
    user = await heartbeat(scene.databases.user)
    general = await heartbeat(scene.databases.general)
    assert (user.beat, general.beat, general.seen) == (60, 60, 60)
    assert 0 < user.seen <= 60
    assert general.seen_at == user.beat_at


async def test_all_relays_together_beat_once_a_pause(scene: Scene) -> None:
    for _ in range(5):
        await beat(scene.databases, timedelta(hours=1))
    for database in (scene.databases.user, scene.databases.general):
        assert (await heartbeat(database)).beat == 1


@pytest.mark.parametrize("name", DATABASES)
async def test_a_restored_database_stays_behind_however_often_it_beats(
    scene: Scene, name: DatabaseName
) -> None:
    """The proof would be gone if its count caught up. The other database goes on."""
    await beat(scene.databases, AT_ONCE)
    await back_up(scene, name)
    for _ in range(2):
        await beat(scene.databases, AT_ONCE)
    counts = {each: (await heartbeat(getattr(scene.databases, each))).beat for each in DATABASES}
    await restore(scene, name)
    then = await heartbeat(getattr(scene.databases, name))
    for _ in range(3):
        (found,) = await beat(scene.databases, AT_ONCE)
        assert (found.name, found.since) == (name, then.beat_at)
        assert found.until is not None
        assert found.since is not None
        assert found.until > found.since
        assert await restored(scene.databases) == [found]
    for each in DATABASES:
        grown = 0 if each == name else 3
        own = then.beat if each == name else counts[each]
        assert (await heartbeat(getattr(scene.databases, each))).beat == own + grown


async def test_a_relay_beats_as_often_as_the_setting_says_and_when_it_stops(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last beat counts however short the time since the one before was."""
    often = asyncio.create_task(scene.relay(relay_beat_seconds=0.001).run())
    await until_beat(scene, 3)
    often.cancel()
    await asyncio.wait({often})
    count = (await heartbeat(scene.databases.user)).beat
    seldom = asyncio.create_task(scene.relay(relay_beat_seconds=3600).run())
    await asyncio.sleep(0)
    seldom.cancel()
    await asyncio.wait({seldom})
    after = (await heartbeat(scene.databases.user)).beat
    assert count < after <= count + 2
    assert events(capsys.readouterr().err, "heartbeat_failed") == []


async def until_beat(scene: Scene, count: int) -> None:
    async with asyncio.timeout(10):
        while (await heartbeat(scene.databases.user)).beat < count:
            pass  # each question is a round trip, so this is no busy loop


async def test_a_relay_tells_of_a_restored_database_once(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    await beat(scene.databases, AT_ONCE)
    await scene.user.execute("UPDATE heartbeats SET beat = 0")
    settings = scene.settings.model_copy(update={"relay_beat_seconds": 0.001})
    task = asyncio.create_task(beat_for_ever(scene.databases, settings))
    general = (await heartbeat(scene.databases.general)).beat
    async with asyncio.timeout(10):
        while (await heartbeat(scene.databases.general)).beat < general + 3:
            pass
    task.cancel()
    await asyncio.wait({task})
    (line,) = events(capsys.readouterr().err, "database_restored")
    assert (line["level"], line["database"]) == ("error", "user")
    assert b'\nbicameral_database_restored{database="user"} 1.0\n' in render()
    assert b'\nbicameral_database_restored{database="general"} 0.0\n' in render()
