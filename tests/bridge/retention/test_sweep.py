"""A sweep deletes what was kept long enough, whole, nothing else, and leaves a receipt."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from app.bridge.erasure.receipts import export
from app.bridge.reconcile.reconciler import Reconciler
from app.bridge.retention.sweeper import Sweeper
from tests.support.erasure_scene import Scene, a_session
from tests.support.retention_scene import (
    a_policy,
    an_old_session,
    keep_for,
    retention_receipts,
    sessions,
    sweep,
    tallies,
)

ENDS = "UPDATE chat_sessions SET expires_at = now() + $2::interval WHERE id = $1"
YESTERDAY = "UPDATE retention_tallies SET day = day - 1"


async def test_what_was_kept_long_enough_goes_with_its_messages_and_the_rest_stays(
    scene: Scene,
) -> None:
    alice, bob = await a_policy(scene), await scene.a_user()
    for texts in (2, 0, 3):
        await an_old_session(scene, alice, texts=texts)
    stays = {
        await an_old_session(scene, alice, days=29.99),
        await a_session(scene.general, alice),
        await an_old_session(scene, bob, days=4000),  # whose tenant has no policy
    }
    (done,) = await sweep(scene)
    assert (done.tenant_id, done.swept) == (alice.tenant_id, (3, 5))
    assert await sessions(scene) == stays
    assert await retention_receipts(scene) == [(3, 5)]
    assert await sweep(scene) == []
    assert await retention_receipts(scene) == [(3, 5)]


async def test_a_session_goes_at_its_own_end_whatever_the_tenant_says(scene: Scene) -> None:
    alice, bob = await a_policy(scene, 30), await scene.a_user()
    stays: set[UUID] = set()
    for subject in (alice, bob):
        for hours, is_kept in ((-1, False), (1, True)):
            session_id = await a_session(scene.general, subject)
            await scene.general.execute(ENDS, session_id, timedelta(hours=hours))
            stays |= {session_id} if is_kept else set()
    # One that is too old and whose end has passed as well is counted once.
    both = await an_old_session(scene, alice)
    await scene.general.execute(ENDS, both, timedelta(hours=-1))
    await sweep(scene)
    assert await sessions(scene) == stays
    assert sorted(await retention_receipts(scene)) == [(1, 2), (2, 4)]


async def test_the_receipt_says_kind_counts_and_cutoff_and_belongs_to_no_person(
    scene: Scene,
) -> None:
    alice = await a_policy(scene, 30)
    await an_old_session(scene, alice)
    before = datetime.now(UTC)
    await sweep(scene)
    line = json.loads(await anext(export(scene.databases.general)))
    assert (line["v"], line["kind"], line["chat_sessions"], line["messages"]) == (
        *(2, "retention"),
        *(1, 2),
    )
    assert line["tenant_id"] == str(alice.tenant_id)
    assert line["user_id"] != str(alice.user_id)
    away = before - timedelta(days=30) - datetime.fromisoformat(line["cutoff"])
    assert abs(away) < timedelta(minutes=1)
    assert await Reconciler(scene.databases, scene.settings).find() == frozenset()


async def test_batches_are_bounded_and_a_sweep_of_many_has_one_receipt(scene: Scene) -> None:
    alice = await a_policy(scene)
    for _ in range(7):
        await an_old_session(scene, alice, texts=3)
    seen: list[list[tuple[int, int]]] = []

    async def note(commit: str) -> None:
        if commit == "batch":
            seen.append(await tallies(scene))

    (done,) = await sweep(scene, hook=note, relay_batch_rows=8)
    assert seen == [[(2 * n, 6 * n)] for n in (1, 2, 3)] + [[(7, 21)]]
    assert (done.swept, await tallies(scene)) == ((7, 21), [])
    assert await retention_receipts(scene) == [(7, 21)]


async def test_a_session_larger_than_a_batch_goes_whole(scene: Scene) -> None:
    alice = await a_policy(scene)
    await an_old_session(scene, alice, texts=50)
    seen: list[int] = []

    async def note(commit: str) -> None:
        if commit == "batch":
            seen.append(await scene.general.fetchval("SELECT count(*) FROM messages"))

    await sweep(scene, hook=note, relay_batch_rows=8)
    assert seen == [0]
    assert await retention_receipts(scene) == [(1, 50)]


async def test_owners_who_are_held_or_being_erased_are_passed_by(scene: Scene) -> None:
    alice = await a_policy(scene)
    held = await scene.a_user(alice.tenant_id)
    closed = await scene.a_user(alice.tenant_id)
    stays = {await an_old_session(scene, one) for one in (held, closed)}
    for session_id in stays:  # both their own ends and the policy's have passed
        await scene.general.execute(ENDS, session_id, timedelta(hours=-1))
    await an_old_session(scene, alice)
    change = "UPDATE owners SET {} WHERE user_id = $1"
    await scene.general.execute(change.format("held = true"), held.user_id)
    await scene.general.execute(change.format("state = 'closed'"), closed.user_id)
    await sweep(scene)
    assert await sessions(scene) == stays
    assert await retention_receipts(scene) == [(1, 2)]
    await scene.general.execute(change.format("held = false"), held.user_id)
    await sweep(scene)
    assert await retention_receipts(scene) == [(1, 2), (1, 2)]


async def test_a_day_that_is_over_has_its_receipt_though_there_is_more_to_sweep(
    scene: Scene,
) -> None:
    alice = await a_policy(scene)
    for _ in range(3):
        await an_old_session(scene, alice)

    async def die(commit: str) -> None:
        if commit == "batch":
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        await sweep(scene, hook=die, relay_batch_rows=3)
    assert (await tallies(scene), await retention_receipts(scene)) == ([(1, 2)], [])
    await scene.general.execute(YESTERDAY)
    await sweep(scene)
    assert await retention_receipts(scene) == [(1, 2), (2, 4)]


async def test_a_tally_gets_its_receipt_after_the_policy_and_the_tenant_are_gone(
    scene: Scene,
) -> None:
    alice = await a_policy(scene)
    for _ in range(2):
        await an_old_session(scene, alice)

    async def forget(commit: str) -> None:
        if commit == "batch":
            await keep_for(scene, alice.tenant_id, None)

    (done,) = await sweep(scene, hook=forget, relay_batch_rows=3)
    assert done.swept == (1, 2)
    assert len(await sessions(scene)) == 1
    assert await retention_receipts(scene) == [(1, 2)]


async def test_a_dry_run_counts_what_a_sweep_deletes(scene: Scene) -> None:
    alice = await a_policy(scene)
    await an_old_session(scene, alice, texts=5)
    both = await an_old_session(scene, alice)
    await scene.general.execute(ENDS, both, timedelta(hours=-1))
    (told,) = [one async for one in Sweeper(scene.databases, scene.settings).overdue()]
    assert (told.tenant_id, told.retention_days) == (alice.tenant_id, 30)
    assert tuple(told.overdue)[:2] == (2, 7)
    assert len(await sessions(scene)) == 2
    (done,) = await sweep(scene)
    assert done.swept == (2, 7)
