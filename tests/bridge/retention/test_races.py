"""Sweeps race writers, each other, erasures and policies, and die: counts stay true."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.erasure_scene import Scene, a_session, waits
from tests.support.relay_process import DIED, SWEEP_COMMITS, victim
from tests.support.retention_scene import (
    a_policy,
    an_old_session,
    keep_for,
    retention_receipts,
    sessions,
    sweep,
    tallies,
    touch,
)

# As the guard does where a hold has come since the owner was looked at.
HELD = """
CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the owner is held' USING ERRCODE = 'BC003'; END $$;
CREATE TRIGGER stop BEFORE DELETE ON messages FOR EACH ROW EXECUTE FUNCTION stop()
"""
SWEEP = "SELECT sessions, messages FROM sweep_sessions($1, $2, 100, $3::uuid[])"


async def test_a_session_touched_at_the_last_moment_stays(scene: Scene) -> None:
    alice = await a_policy(scene)
    touched, goes = [await an_old_session(scene, alice) for _ in range(2)]
    async with scene.another() as writer, writer.transaction():
        await touch(writer, touched)
        await sweep(scene)  # waits for nobody
        assert await sessions(scene) == {touched}
        assert (await tallies(scene), await retention_receipts(scene)) == ([(1, 2)], [])
    await sweep(scene)
    assert await sessions(scene) == {touched}
    assert goes not in await sessions(scene)
    assert await scene.general.fetchval("SELECT count(*) FROM messages") == 2
    assert await retention_receipts(scene) == [(1, 2)]


async def test_the_deleting_statements_look_again_at_what_they_delete(scene: Scene) -> None:
    alice = await a_policy(scene)
    session_id = await a_session(scene.general, alice)
    assert await scene.general.fetch(SWEEP, alice.tenant_id, 30, [session_id]) == [(0, 0)]
    assert await sessions(scene) == {session_id}
    assert await scene.general.fetchval("SELECT count(*) FROM messages") == 2


@pytest.mark.parametrize("days", [None, 0, -1])
async def test_a_policy_that_cannot_be_deletes_nothing(scene: Scene, days: int | None) -> None:
    alice = await a_policy(scene)
    session_id = await an_old_session(scene, alice, days=4000)
    assert await scene.general.fetch(SWEEP, alice.tenant_id, days, None) == [(0, 0)]
    assert await sessions(scene) == {session_id}


async def test_whoever_comes_too_late_finds_no_session(scene: Scene) -> None:
    alice = await a_policy(scene)
    session_id = await an_old_session(scene, alice)
    async with scene.another() as sweeping, scene.another() as writer:
        async with sweeping.transaction():
            await sweeping.execute(SWEEP, alice.tenant_id, 30, None)
            late = asyncio.create_task(touch(writer, session_id))
            await waits(scene)
        await late
    assert await sessions(scene) == set()
    await sweep(scene)
    assert await retention_receipts(scene) == [(1, 2)]


async def test_three_sweeps_at_once_count_each_session_once(scene: Scene) -> None:
    alice = await a_policy(scene)
    for _ in range(20):
        await an_old_session(scene, alice)
    await asyncio.gather(*(sweep(scene, relay_batch_rows=6) for _ in range(3)))
    await sweep(scene)
    receipts = await retention_receipts(scene)
    assert tuple(map(sum, zip(*receipts, strict=True))) == (20, 40)
    assert (await sessions(scene), await tallies(scene)) == (set(), [])


async def test_an_erasure_in_the_middle_of_a_sweep_has_a_receipt_of_the_rest(scene: Scene) -> None:
    alice = await a_policy(scene)
    for _ in range(6):
        await an_old_session(scene, alice)
    await erased_meanwhile(scene, alice, [scene.delete], alice)
    counts = await both_counts(scene)
    assert counts == {"retention": (1, 2), "erasure": (5, 10)}


async def test_a_tenant_deleted_in_the_middle_of_a_sweep_keeps_both_receipts_true(
    scene: Scene,
) -> None:
    alice = await a_policy(scene)
    for _ in range(6):
        await an_old_session(scene, alice)

    async def delete_tenant(_: Any) -> None:
        await scene.user.execute("DELETE FROM tenants WHERE id = $1", alice.tenant_id)

    await erased_meanwhile(scene, alice, [delete_tenant], alice)
    assert await both_counts(scene) == {"retention": (1, 2), "erasure": (5, 10)}


async def erased_meanwhile(scene: Scene, subject: Any, deletions: list[Any], who: Any) -> None:
    """Delete after the sweep's first batch, and let a relay erase before the next."""

    async def erase(commit: str) -> None:
        if commit == "batch" and deletions:
            await deletions.pop()(who)
            while await scene.relay().run_once():
                pass

    await sweep(scene, hook=erase, relay_batch_rows=3)
    assert not deletions
    assert await sessions(scene) == set()


async def both_counts(scene: Scene) -> dict[str, tuple[int, int]]:
    await retention_receipts(scene)
    return {row["kind"]: (row["chat_sessions"], row["messages"]) for row in await scene.receipts()}


async def test_a_longer_policy_in_the_middle_of_a_sweep_holds_from_the_next_batch_on(
    scene: Scene,
) -> None:
    alice = await a_policy(scene)
    for _ in range(3):
        await an_old_session(scene, alice)

    async def lengthen(commit: str) -> None:
        if commit == "batch":
            await keep_for(scene, alice.tenant_id, 365)

    (done,) = await sweep(scene, hook=lengthen, relay_batch_rows=3)
    assert (done.swept, len(await sessions(scene))) == ((1, 2), 2)
    assert await retention_receipts(scene) == [(1, 2)]


async def test_a_hold_that_comes_with_the_batch_wins(scene: Scene) -> None:
    alice = await a_policy(scene)
    await an_old_session(scene, alice)

    async def hold(commit: str) -> None:
        if commit == "policy":
            await scene.general.execute("UPDATE owners SET held = true, hold_rev = 1")

    assert await sweep(scene, hook=hold) == []
    assert len(await sessions(scene)) == 1
    assert await retention_receipts(scene) == []


async def test_a_batch_that_a_hold_has_stopped_is_tried_again(scene: Scene) -> None:
    """The hold is gone then, or its owner is passed by; a sweep is not ended by it."""
    await an_old_session(scene, await a_policy(scene))
    await scene.general.execute(HELD)

    async def lift(commit: str) -> None:
        if commit == "batch":
            await scene.general.execute("DROP FUNCTION IF EXISTS stop CASCADE")

    assert [one.swept for one in await sweep(scene, hook=lift)] == [(1, 2)]
    assert await sessions(scene) == set()


@pytest.mark.parametrize("commit", SWEEP_COMMITS)
async def test_a_sweep_killed_anywhere_is_finished_by_the_next(scene: Scene, commit: str) -> None:
    alice = await a_policy(scene)
    for _ in range(3):
        await an_old_session(scene, alice)
    settings = scene.settings.model_copy(update={"relay_batch_rows": 3})
    with victim(settings, commit, dies=True, sweeps=True) as killed:
        await asyncio.to_thread(killed.process.join, 30)
        assert killed.process.exitcode == DIED
    await sweep(scene, relay_batch_rows=3)
    assert await retention_receipts(scene) == [(3, 6)]
    assert (await sessions(scene), await tallies(scene)) == (set(), [])


async def test_what_a_restore_brings_back_is_swept_again(scene: Scene) -> None:
    """The backup has the session and no receipt; the sweep remembers nothing."""
    alice = await a_policy(scene)
    await an_old_session(scene, alice)
    await sweep(scene)
    await scene.general.execute("ALTER TABLE erasure_receipts DISABLE TRIGGER ALL")
    await scene.general.execute("DELETE FROM erasure_receipts")
    await an_old_session(scene, alice)
    await sweep(scene)
    assert await sessions(scene) == set()
    assert await retention_receipts(scene) == [(1, 2)]
