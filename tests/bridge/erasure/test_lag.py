"""The relay tells for how long a deletion was known to the user database alone."""

from __future__ import annotations

import asyncio

import pytest

from app.bridge.erasure import metrics
from tests.support.erasure_scene import Scene


def lag() -> tuple[float, float]:
    """Give how many erasures were measured, and the sum of their seconds."""
    (family,) = metrics.LAG.collect()
    found = {sample.name.rpartition("_")[2]: sample.value for sample in family.samples}
    return found["count"], found["sum"]


async def test_the_lag_ends_where_the_general_database_knows_of_the_deletion(scene: Scene) -> None:
    """That is when its owner was closed, and not when the last of the rows was erased."""
    subject = await scene.a_user(sessions=1)
    await scene.delete(subject)
    minute = "UPDATE subject_ledger SET changed_at = now() - interval '1 minute'"
    await scene.user.execute(minute)
    count, seconds = lag()
    await scene.general.execute(
        "INSERT INTO owners (tenant_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        subject.tenant_id,
        subject.user_id,
    )
    await scene.general.execute(
        "UPDATE owners SET state = 'closed', closed_at = now() - interval '20 seconds'"
        " WHERE user_id = $1",
        subject.user_id,
    )
    assert await scene.relay().run_once()
    after, total = lag()
    assert after == count + 1
    assert 40 <= total - seconds < 45


async def test_a_relay_that_is_woken_has_a_lag_of_less_than_it_polls(scene: Scene) -> None:
    done = asyncio.Event()

    async def hook(commit: str) -> None:
        if commit == "acknowledge":
            done.set()

    relay = asyncio.create_task(scene.relay(relay_poll_seconds=3600, hook=hook).run())
    count, seconds = lag()
    deleted = 5
    async with asyncio.timeout(30):
        for _ in range(deleted):
            await scene.delete(await scene.a_user(sessions=1))
            await done.wait()
            done.clear()
    relay.cancel()
    await asyncio.wait({relay})
    after, total = lag()
    assert after == count + deleted
    assert (total - seconds) / deleted < 1


async def test_an_erasure_whose_lag_cannot_be_measured_is_complete_and_says_so(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    subject = await scene.a_user(sessions=1)
    await scene.delete(subject)
    count, _ = lag()
    await scene.user.execute("ALTER FUNCTION seconds_since_deletion RENAME TO away")
    try:
        assert await scene.relay().run_once()
    finally:
        await scene.user.execute("ALTER FUNCTION away RENAME TO seconds_since_deletion")
    assert [row["user_id"] for row in await scene.receipts()] == [subject.user_id]
    assert lag()[0] == count
    said = capsys.readouterr().err
    assert '"erasure_lag_unknown"' in said
    assert '"erasure_failed"' not in said
