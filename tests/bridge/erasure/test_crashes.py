"""The relay dies or freezes at each of its commits and between them, in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence

import pytest

from app.bridge.erasure.relay import Relay
from app.config.settings import Settings
from tests.support.erasure_scene import Scene, Subject
from tests.support.relay_process import COMMITS, DIED, Victim, victim

SESSIONS = (3, 1, 1, 0)  # more than a batch of rows holds, two who share one, and nothing


async def all_is_well(scene: Scene, subjects: Sequence[Subject]) -> None:
    """Whatever happened before: exactly one receipt each, exact counts, and acknowledged."""
    chain = await scene.receipts()
    receipts = {receipt["user_id"]: receipt for receipt in chain}
    assert [receipt["seq"] for receipt in chain] == [1, 2, 3, 4]
    for subject, sessions in zip(subjects, SESSIONS, strict=True):
        receipt, entry = receipts[subject.user_id], await scene.entry(subject)
        assert (receipt["chat_sessions"], receipt["messages"]) == (sessions, 2 * sessions)
        assert (entry["chat_sessions"], entry["messages"]) == (sessions, 2 * sessions)
        assert entry["delivered_rev"] == entry["rev"]
        assert (entry["receipt"], entry["last_error"]) == (receipt["hash"], None)
        owner = "SELECT state FROM owners WHERE user_id = $1"
        assert await scene.general.fetchval(owner, subject.user_id) == "erased"
    assert await scene.orphans() == 0
    assert await scene.general.fetchval("SELECT count(*) FROM messages") == 2


async def deleted(scene: Scene) -> list[Subject]:
    """Four of one tenant, who are claimed together, and somebody else beside."""
    tenant_id = await scene.a_tenant()
    await scene.a_user(tenant_id, sessions=1)
    subjects = [await scene.a_user(tenant_id, sessions=number) for number in SESSIONS]
    ids = [one.user_id for one in subjects]
    await scene.user.execute("DELETE FROM users WHERE id = ANY ($1)", ids)
    return subjects


async def finished(scene: Scene) -> int:
    """Run relays until nothing is due, and return how many erasures they claimed."""
    claimed = 0
    while found := await scene.relay().run_once():
        claimed += found
    return claimed


def settings_of(scene: Scene) -> Settings:
    return scene.settings.model_copy(update={"relay_batch_rows": 6})


@pytest.mark.parametrize("commit", COMMITS)
async def test_erasures_go_on_after_their_relay_died(scene: Scene, commit: str) -> None:
    """Nobody who had got their receipt acknowledged before is claimed again."""
    subjects = await deleted(scene)
    with victim(settings_of(scene), commit, dies=True) as one:
        await asyncio.to_thread(one.process.join)
        assert one.process.exitcode == DIED
    await scene.due()
    assert await finished(scene) == (1 if commit == "acknowledge" else 4)
    await all_is_well(scene, subjects)


async def test_erasures_end_though_a_relay_dies_at_each_commit(scene: Scene) -> None:
    subjects = await deleted(scene)
    for commit in (*COMMITS, COMMITS[-1]):
        with victim(settings_of(scene), commit, dies=True) as one:
            await asyncio.to_thread(one.process.join)
        await scene.due()
    await all_is_well(scene, subjects)


async def test_erasures_go_on_after_their_relay_was_killed(scene: Scene) -> None:
    subjects = await deleted(scene)
    with victim(settings_of(scene), "batch") as one:
        assert await asyncio.to_thread(one.line.recv) == "batch"
        os.kill(one.pid, signal.SIGKILL)
        await asyncio.to_thread(one.process.join)
    assert not await scene.relay().run_once(), "its lease keeps others away, until it is over"
    await scene.due()
    assert await scene.relay().run_once() == 4
    await all_is_well(scene, subjects)


@pytest.mark.parametrize("commit", COMMITS[:-1])
async def test_a_relay_that_sleeps_past_its_lease_does_no_harm(scene: Scene, commit: str) -> None:
    """Another finishes; what the sleeper does when it wakes changes nothing."""
    subjects = await deleted(scene)
    with victim(settings_of(scene), commit) as one:
        assert await asyncio.to_thread(one.line.recv) == commit
        os.kill(one.pid, signal.SIGSTOP)
        await scene.due()
        assert await scene.relay().run_once() == 4
        await all_is_well(scene, subjects)
        await wake(one)
        assert one.process.exitcode == 0
    await all_is_well(scene, subjects)


async def wake(one: Victim) -> None:
    one.line.send("go on")
    os.kill(one.pid, signal.SIGCONT)
    await asyncio.to_thread(one.process.join)


async def test_two_relays_at_once_take_different_users(scene: Scene) -> None:
    """Twenty relays, ten users: each is claimed once."""
    tenant_id = await scene.a_tenant()
    users = [await scene.a_user(tenant_id, sessions=1) for _ in range(10)]
    for one in users:
        await scene.delete(one)
    relays: list[Relay] = [scene.relay() for _ in range(20)]
    done = await asyncio.gather(*(relay.run_once() for relay in relays))
    assert sum(done) == 10
    receipts = await scene.receipts()
    assert {receipt["user_id"] for receipt in receipts} == {one.user_id for one in users}
    assert [receipt["seq"] for receipt in receipts] == list(range(1, 11))
    attempts = "SELECT DISTINCT attempts FROM subject_ledger WHERE state = 'deleted'"
    assert await scene.user.fetch(attempts) == [(1,)]
