"""The relay brings holds into force, whatever kills it: never early, never out of order."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from prometheus_client import Gauge

from app.bridge.holds.metrics import OLDEST, PENDING, show
from app.bridge.holds.relay import HoldRelay
from app.databases.database import Database
from app.databases.sessions import GeneralSession
from tests.support.erasure_scene import Scene, Subject, waits, writer
from tests.support.holds import held, is_in_force, lift, place
from tests.support.relay_process import DIED, HOLD_COMMITS, victim

DELETE = "DELETE FROM chat_sessions WHERE tenant_id = $1 AND user_id = $2"
SESSIONS = "SELECT count(*) FROM chat_sessions WHERE tenant_id = $1 AND user_id = $2"


async def delivered(scene: Scene, **how: Any) -> int:
    return await HoldRelay(scene.databases, **how).run_once()


async def no_drain(_: Database[GeneralSession], __: UUID, ___: UUID) -> None:
    """Leave the guard out, for the controls."""


@asynccontextmanager
async def asleep(scene: Scene, commit: str) -> AsyncGenerator[None]:
    """A relay goes to sleep after the commit, for the time of the block, and then goes on."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def hook(at: str) -> None:
        if at == commit:
            reached.set()
            await go_on.wait()

    sleeper = asyncio.create_task(delivered(scene, hook=hook))
    await reached.wait()
    yield
    go_on.set()
    await sleeper


async def test_a_hold_comes_into_force_and_a_lift_takes_it_away(scene: Scene) -> None:
    """The owner has said nothing yet, so the relay makes their row."""
    alice, bob = await scene.a_user(), await scene.a_user(sessions=1)
    await place(scene, alice)
    assert not await is_in_force(scene, alice)
    assert await delivered(scene) == 1
    assert (await held(scene, alice), await held(scene, bob)) == (True, False)
    assert await is_in_force(scene, alice)
    assert await delivered(scene) == 0
    await lift(scene, alice)
    assert await held(scene, alice)
    assert await delivered(scene) == 1
    assert not await held(scene, alice)


async def test_it_is_brought_into_force_after_each_kill(scene: Scene) -> None:
    """The relay is a process of its own that is killed with -9 where it waits for us."""
    for commit in HOLD_COMMITS:
        alice = await scene.a_user(sessions=1)
        await place(scene, alice)
        with victim(scene.settings, commit, of_holds=True) as one:
            assert await asyncio.to_thread(one.line.recv) == commit
            os.kill(one.pid, signal.SIGKILL)
            await asyncio.to_thread(one.process.join)
        assert await held(scene, alice)
        assert await is_in_force(scene, alice) == (commit == "acknowledge")
        assert await delivered(scene) == (commit != "acknowledge")
        assert (await is_in_force(scene, alice), await held(scene, alice)) == (True, True)


async def test_it_is_lifted_though_relays_die_at_each_commit(scene: Scene) -> None:
    alice = await scene.a_user(sessions=1)
    await place(scene, alice)
    await delivered(scene)
    await lift(scene, alice)
    for commit in ("set", "acknowledge"):
        with victim(scene.settings, commit, dies=True, of_holds=True) as one:
            await asyncio.to_thread(one.process.join)
            assert one.process.exitcode == DIED
    assert (await held(scene, alice), await delivered(scene)) == (False, 0)


@pytest.mark.parametrize("commit", HOLD_COMMITS)
@pytest.mark.parametrize("changes", [(lift,), (lift, place), (lift, place, lift)])
async def test_a_relay_that_wakes_late_changes_nothing(
    scene: Scene, commit: str, changes: Any
) -> None:
    """Meanwhile the hold was lifted, or lifted and placed again, and another relay delivered it."""
    alice = await scene.a_user(sessions=1)
    await place(scene, alice)
    async with asleep(scene, commit):
        for change in changes:
            await change(scene, alice)
        await delivered(scene)
    await delivered(scene)
    is_held = changes[-1] is place
    assert await held(scene, alice) == is_held
    if is_held:
        assert await is_in_force(scene, alice)


async def test_what_was_placed_again_meanwhile_is_not_in_force_by_the_first(scene: Scene) -> None:
    alice = await scene.a_user(sessions=1)
    await place(scene, alice)
    async with asleep(scene, "drain"):
        await lift(scene, alice)
        await place(scene, alice)
    assert not await is_in_force(scene, alice)
    await delivered(scene)
    assert await is_in_force(scene, alice)


async def test_control_without_revisions_a_late_relay_undoes_a_lift(scene: Scene) -> None:
    function = await scene.general.fetchval("SELECT pg_get_functiondef('set_hold'::regproc)")
    await scene.general.execute(function.replace("o.hold_rev < new_rev", "true", 1))
    await scene.general.execute("ALTER TABLE owners DISABLE TRIGGER keep_owner_forward")
    alice = await scene.a_user(sessions=1)
    statement = "SELECT set_hold($1, $2, $3, $4)"
    for is_held, rev in ((False, 2), (True, 1)):
        await scene.general.execute(statement, alice.tenant_id, alice.user_id, is_held, rev)
    assert await held(scene, alice)


async def raced(scene: Scene, **how: Any) -> tuple[Subject, bool]:
    """Read the flag for a deletion, place a hold, and commit the deletion once the relay waits, or
    is done. Tell whether the hold was in force before the deletion was committed.
    """
    alice = await scene.a_user(sessions=1)
    await place(scene, alice)
    async with writer(scene, alice.tenant_id) as early:
        await early.execute(DELETE, alice.tenant_id, alice.user_id)
        relay = asyncio.create_task(delivered(scene, **how))
        waiting = asyncio.create_task(waits(scene))
        await asyncio.wait({relay, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        was_in_force = await is_in_force(scene, alice)
        await early.execute("COMMIT")
        await relay
    assert await scene.general.fetchval(SESSIONS, alice.tenant_id, alice.user_id) == 0
    return alice, was_in_force


async def test_a_hold_is_not_in_force_before_earlier_deletions_have_ended(scene: Scene) -> None:
    alice, was_in_force = await raced(scene)
    assert not was_in_force
    assert await is_in_force(scene, alice)


async def test_control_without_the_drain_it_would_be(scene: Scene) -> None:
    _, was_in_force = await raced(scene, drain=no_drain)
    assert was_in_force


async def test_a_deletion_of_the_person_waits_for_the_lift_to_be_delivered(scene: Scene) -> None:
    alice = await scene.a_user(sessions=2)
    await place(scene, alice)
    await delivered(scene)
    with pytest.raises(asyncpg.PostgresError, match="fk_holds"):
        await scene.delete(alice)
    await lift(scene, alice)
    await scene.delete(alice)
    assert await scene.relay().run_once()
    assert (await scene.entry(alice))["last_error"].endswith("BC003")
    assert not await scene.relay().run_once(), "it is put off"
    await delivered(scene)
    assert await scene.relay().run_once(), "and due at once"
    assert [one["chat_sessions"] for one in await scene.receipts()] == [2]


async def test_one_that_fails_keeps_no_other_waiting(scene: Scene) -> None:
    alice, bob = await scene.a_user(sessions=1), await scene.a_user(sessions=1)
    await place(scene, alice)
    await place(scene, bob)
    await scene.general.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '23514'; END $$"
    )
    await scene.general.execute(
        "CREATE TRIGGER refuse BEFORE UPDATE ON owners FOR EACH ROW"
        f" WHEN (OLD.user_id = '{alice.user_id}') EXECUTE FUNCTION refuse()"
    )
    assert await delivered(scene) == 1
    assert (await is_in_force(scene, alice), await is_in_force(scene, bob)) == (False, True)


async def test_many_relays_at_once(scene: Scene) -> None:
    people = [await scene.a_user(sessions=1) for _ in range(5)]
    for one in people:
        await place(scene, one)
    await asyncio.gather(*(delivered(scene) for _ in range(8)))
    assert all([await is_in_force(scene, one) for one in people])


def _value(gauge: Gauge) -> float:
    [metric] = gauge.collect()
    return metric.samples[0].value


async def test_an_idle_relay_wakes_and_metrics_tell_what_waits(scene: Scene) -> None:
    relay = scene.relay(relay_listen=True, relay_poll_seconds=60)
    alice = await scene.a_user(sessions=1)
    await place(scene, alice)
    outbox = HoldRelay(scene.databases).outbox
    backlog = await outbox.backlog()
    show(backlog)
    assert (backlog.pending, _value(PENDING)) == (1, 1)
    assert _value(OLDEST) > 0
    working = asyncio.create_task(relay.run())
    try:
        async with asyncio.timeout(20):
            rung = relay.bell.next()
            while not await is_in_force(scene, alice):
                await rung.wait()
                rung = relay.bell.next()
            await lift(scene, alice)
            while await held(scene, alice):
                await rung.wait()
                rung = relay.bell.next()
    finally:
        working.cancel()
        await asyncio.wait({working})
