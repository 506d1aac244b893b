"""The relay dies or freezes at each of its commits and between them, in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from app.bridge.erasure.relay import Relay
from app.config.settings import Settings
from tests.support.erasure_scene import Scene, Subject
from tests.support.relay_process import COMMITS, DIED, Victim, victim


async def all_is_well(scene: Scene, subject: Subject) -> None:
    """Whatever happened before: exactly one receipt, with exact counts, and acknowledged."""
    (receipt,) = await scene.receipts()
    entry = await scene.entry(subject)
    assert (receipt["chat_sessions"], receipt["messages"]) == (3, 6)
    assert (entry["chat_sessions"], entry["messages"]) == (3, 6)
    assert entry["delivered_rev"] == entry["rev"]
    assert (entry["receipt"], entry["last_error"]) == (receipt["hash"], None)
    owner = "SELECT state FROM owners WHERE user_id = $1"
    assert await scene.general.fetchval(owner, subject.user_id) == "erased"
    assert await scene.orphans() == 0
    assert await scene.general.fetchval("SELECT count(*) FROM messages") == 2


async def deleted(scene: Scene) -> Subject:
    """With more rows than a batch holds, and somebody else beside."""
    await scene.a_user(sessions=1)
    alice = await scene.a_user(sessions=3)
    await scene.delete(alice)
    return alice


def settings_of(scene: Scene) -> Settings:
    return scene.settings.model_copy(update={"relay_batch_rows": 3})


@pytest.mark.parametrize("commit", COMMITS)
async def test_an_erasure_goes_on_after_its_relay_died(scene: Scene, commit: str) -> None:
    alice = await deleted(scene)
    with victim(settings_of(scene), commit, dies=True) as one:
        await asyncio.to_thread(one.process.join)
        assert one.process.exitcode == DIED
    await scene.due()
    again = await scene.relay().run_once()
    assert again == (commit != "acknowledge")
    await all_is_well(scene, alice)


async def test_an_erasure_ends_though_a_relay_dies_at_each_commit(scene: Scene) -> None:
    alice = await deleted(scene)
    for commit in COMMITS:
        with victim(settings_of(scene), commit, dies=True) as one:
            await asyncio.to_thread(one.process.join)
        await scene.due()
    await all_is_well(scene, alice)


async def test_an_erasure_goes_on_after_its_relay_was_killed(scene: Scene) -> None:
    alice = await deleted(scene)
    with victim(settings_of(scene), "batch") as one:
        assert await asyncio.to_thread(one.line.recv) == "batch"
        os.kill(one.pid, signal.SIGKILL)
        await asyncio.to_thread(one.process.join)
    assert not await scene.relay().run_once(), "its lease keeps others away, until it is over"
    await scene.due()
    assert await scene.relay().run_once()
    await all_is_well(scene, alice)


@pytest.mark.parametrize("commit", COMMITS[:-1])
async def test_a_relay_that_sleeps_past_its_lease_does_no_harm(scene: Scene, commit: str) -> None:
    """Another finishes; what the sleeper does when it wakes changes nothing."""
    alice = await deleted(scene)
    with victim(settings_of(scene), commit) as one:
        assert await asyncio.to_thread(one.line.recv) == commit
        os.kill(one.pid, signal.SIGSTOP)
        await scene.due()
        assert await scene.relay().run_once()
        await all_is_well(scene, alice)
        await wake(one)
        assert one.process.exitcode == 0
    await all_is_well(scene, alice)


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
