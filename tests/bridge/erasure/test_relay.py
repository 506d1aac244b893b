"""The relay, one erasure at a time: what it leaves, in what portions, what it does on failure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import pytest

from app.bridge.erasure.ledger import LeaseLostError
from app.bridge.erasure.relay import AwayError
from app.bridge.erasure.steps import close, purge
from app.bridge.erasure.subject_rows import Batch, Counts
from tests.support.erasure_scene import Scene, Subject, a_session, waits


async def deleted(scene: Scene, sessions: int = 1) -> Subject:
    subject = await scene.a_user(sessions=sessions)
    await scene.delete(subject)
    return subject


async def test_a_deleted_user_is_erased_with_a_receipt(scene: Scene) -> None:
    alice, bob = await scene.a_user(sessions=3), await scene.a_user(sessions=1)
    relay = scene.relay()
    assert not await relay.run_once()
    await scene.delete(alice)
    assert await relay.run_once()
    assert not await relay.run_once()
    (receipt,) = await scene.receipts()
    entry = await scene.entry(alice)
    assert (entry["delivered_rev"], entry["receipt"]) == (entry["rev"], receipt["hash"])
    assert (entry["chat_sessions"], entry["messages"]) == (3, 6)
    assert (receipt["chat_sessions"], receipt["messages"], receipt["remaining"]) == (3, 6, 0)
    assert await scene.orphans() == 0
    assert await scene.general.fetchval("SELECT count(*) FROM messages") == 2
    assert (await scene.entry(bob))["state"] == "present"


@pytest.mark.parametrize("rows", [1, 3, 7, 1000])
@pytest.mark.parametrize("lie", [None, 0, 100], ids=["counted", "too few", "too many"])
async def test_no_transaction_deletes_more_than_the_batch(
    scene: Scene, rows: int, lie: int | None
) -> None:
    """Whatever message_count says; and the counts come out exact."""
    alice = await scene.a_user()
    sizes = [0, 20, 1, 1, 1, 0, 5, 3]
    for size in sizes:
        await a_session(scene.general, alice, size)
    if lie is not None:
        await scene.general.execute("UPDATE chat_sessions SET message_count = $1", lie)
    batches: list[Batch] = []

    async def observe(batch: Batch) -> None:
        batches.append(batch)

    await scene.delete(alice)
    work = scene.work(alice, rows, observe)
    await close(work)
    await purge(work)
    assert max(batch.messages for batch in batches) <= rows
    assert sum(batch.messages for batch in batches) == sum(sizes)
    assert sum(batch.chat_sessions for batch in batches) == len(sizes)


async def test_an_erasures_progress_shows_and_its_lease_is_renewed(scene: Scene) -> None:
    alice = await scene.a_user()
    await a_session(scene.general, alice, 10)
    await scene.delete(alice)
    seen: list[tuple[int, datetime]] = []

    async def hook(commit: str) -> None:
        if commit == "batch":
            entry = await scene.entry(alice)
            seen.append((entry["messages"], entry["lease_until"]))

    hasty = scene.relay(hook=hook, relay_batch_rows=4, relay_lease_seconds=0.000001)
    assert await hasty.run_once()
    progress, leases = zip(*seen, strict=True)
    assert progress[:3] == (None, 4, 8)
    assert sorted(set(leases)) == list(leases), "each later than the one before"
    assert (await scene.entry(alice))["messages"] == 10


async def test_a_large_erasure_takes_turns_with_others(scene: Scene) -> None:
    """None of the turns is held against it, and its counts add up."""
    alice = await scene.a_user()
    await a_session(scene.general, alice, 10)
    await scene.delete(alice)
    bob = await deleted(scene)
    relay = scene.relay(relay_batch_rows=4, relay_turn_seconds=0.000001)
    assert await relay.run_once()
    waiting = await scene.entry(alice)
    assert (waiting["lease_until"], waiting["attempts"], waiting["last_error"]) == (None, 0, None)
    assert await scene.receipts() == []
    await scene.relay().run_once()
    assert (await scene.receipts())[0]["user_id"] == bob.user_id
    while await relay.run_once():
        pass
    assert (await scene.entry(alice))["messages"] == 10


def fails_at(commit: str, error: BaseException) -> Callable[[str], Awaitable[None]]:
    async def hook(reached: str) -> None:
        if reached == commit:
            raise error

    return hook


async def test_a_failed_erasure_is_tried_again_each_time_later_and_never_dropped(
    scene: Scene,
) -> None:
    alice = await deleted(scene)
    secret = fails_at("drain", ValueError("alice@example.org"))
    relay = scene.relay(hook=secret, relay_backoff_seconds=10, relay_backoff_max_seconds=60)
    pauses: list[float] = []
    for attempt in range(1, 6):
        assert await relay.run_once()
        assert not await relay.run_once(), "not at once"
        entry = await scene.entry(alice)
        assert (entry["attempts"], entry["last_error"]) == (attempt, "ValueError")
        pauses.append((entry["not_before"] - await now(scene)).total_seconds())
        await scene.due()
    for pause, nominal in zip(pauses, [10, 20, 40, 60, 60], strict=True):
        assert nominal / 2 - 2 < pause <= nominal
    bob = await deleted(scene)
    await scene.user.execute(
        "UPDATE subject_ledger SET not_before = now() + interval '1 day' WHERE user_id = $1",
        alice.user_id,
    )
    await scene.relay().run_once()
    assert (await scene.receipts())[0]["user_id"] == bob.user_id, "it holds up nobody else"


async def now(scene: Scene) -> datetime:
    moment: datetime = await scene.user.fetchval("SELECT now()")
    return moment


async def test_a_database_that_is_away_is_not_the_erasures_fault(scene: Scene) -> None:
    alice = await deleted(scene)
    relay = scene.relay(hook=fails_at("close", ConnectionResetError()))
    with pytest.raises(AwayError):
        await relay.run_once()
    entry = await scene.entry(alice)
    assert (entry["attempts"], entry["lease_until"]) == (0, None)
    assert entry["last_error"] == "ConnectionResetError"
    assert await scene.relay().run_once(), "at once when it is back"


@pytest.mark.parametrize("commit", ["claim", "close", "drain", "batch", "purge", "receipt"])
async def test_a_relay_that_is_stopped_gives_back_what_it_holds(scene: Scene, commit: str) -> None:
    alice = await deleted(scene, sessions=2)
    reached = asyncio.Event()

    async def hook(now_at: str) -> None:
        if now_at == commit:
            reached.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(scene.relay(hook=hook, relay_batch_rows=3).run_once())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    entry = await scene.entry(alice)
    assert (entry["lease_until"], entry["attempts"]) == (None, 0)
    assert await scene.relay().run_once()
    assert (await scene.entry(alice))["messages"] == 4


async def test_only_the_holder_acknowledges_renews_or_gives_up(scene: Scene) -> None:
    alice = await deleted(scene)
    ledger = scene.relay().ledger
    stale = await ledger.claim()
    assert stale
    await scene.user.execute("UPDATE subject_ledger SET lease_until = now() - interval '1 hour'")
    held = await ledger.claim()
    assert held
    before = await scene.entry(alice)
    with pytest.raises(LeaseLostError):
        await ledger.renew(stale, [Counts(alice.user_id, 1, 1)])
    await ledger.postpone(stale, "stale")
    await ledger.release(stale, "stale")
    assert await scene.entry(alice) == before
    await ledger.release(held)
    assert (await scene.entry(alice))["lease_until"] is None


async def test_a_relay_stopped_while_it_claims_gives_the_claim_back(scene: Scene) -> None:
    alice = await deleted(scene)
    lock = scene.user.transaction()
    await lock.start()
    await scene.user.execute("LOCK subject_ledger IN SHARE MODE")
    task = asyncio.create_task(scene.relay().run_once())
    await waits(scene, on=scene.user)
    task.cancel()
    await asyncio.sleep(0)
    await lock.commit()
    await asyncio.wait({task})
    assert task.cancelled()
    assert (await scene.entry(alice))["lease_until"] is None
