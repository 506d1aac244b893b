"""Reconcile finds what is not about users, too, and nothing that is not so."""

from __future__ import annotations

import asyncio
import json
from itertools import count
from typing import Any
from uuid import uuid4

import pytest

from app.bridge.erasure import metrics
from app.bridge.reconcile.differences import Difference, Kind
from app.bridge.reconcile.reconciler import Outcome, reconciling
from app.telemetry.metrics import render
from tests.support.commands import litestar, urls
from tests.support.differences import (
    erased,
    past_all_guards,
    reconciler,
    repaired,
    rows_of_a_stranger,
)
from tests.support.erasure_scene import Scene, Subject, a_session, dump


async def test_nothing_is_found_where_the_databases_agree(scene: Scene) -> None:
    """Silent users, talking ones, erased ones, and pending ones at every step."""
    await scene.a_user()
    await scene.a_user(sessions=2)
    await erased(scene)
    await scene.delete(await scene.a_user(sessions=1))
    await scene.delete(await scene.a_user())
    closed = await scene.a_user(sessions=1)
    await scene.delete(closed)
    await scene.general.execute(
        "UPDATE owners SET state = 'closed' WHERE user_id = $1", closed.user_id
    )
    before = await dump(scene, set())
    assert await reconciler(scene).find() == frozenset()
    assert await dump(scene, set()) == before
    assert await reconciler(scene).repair() == Outcome(frozenset(), frozenset())
    assert await scene.orphans() == 0


async def test_messages_without_a_session_are_found(scene: Scene) -> None:
    subject, lost = await scene.a_user(sessions=1), uuid4()
    before = await dump(scene, set())
    async with past_all_guards(scene.general):
        await scene.general.execute(
            "INSERT INTO messages (tenant_id, id, session_id, position, role, content)"
            " SELECT $1, gen_random_uuid(), $2, n, 'user', 'Hello' FROM generate_series(1, 5) n",
            subject.tenant_id,
            lost,
        )
    found = {Difference(Kind.STRAY_MESSAGES, subject.tenant_id, session_id=lost)}
    assert await reconciler(scene).find() == found
    scene.settings = scene.settings.model_copy(update={"relay_batch_rows": 2})
    await repaired(scene)
    assert await dump(scene, set()) == before


async def test_a_changed_receipt_is_told_and_left_alone(scene: Scene) -> None:
    for _ in range(2):
        await erased(scene)
    subject = await erased(scene)
    async with past_all_guards(scene.general):
        await scene.general.execute(
            "UPDATE erasure_receipts SET messages = 99 WHERE user_id = $1", subject.user_id
        )
    ended = await litestar(
        "reconcile", "--repair", "--json", env=urls(scene.servers, scene.database)
    )
    assert (ended.code, json.loads(ended.out)) == (
        1,
        {
            "agree": False,
            "pending": 0,
            "differences": [
                {
                    "kind": "chain_broken",
                    "tenant_id": str(subject.tenant_id),
                    "user_id": str(subject.user_id),
                    "session_id": None,
                    "thing": "receipt 3",
                    "meaning": "breaks the chain of receipts; compare it with an export",
                    "mended": False,
                }
            ],
        },
    )


async def test_an_owner_closed_by_hand_proves_nothing(scene: Scene) -> None:
    subject = await scene.a_user(sessions=1)
    statement = "UPDATE owners SET state = 'closed' WHERE user_id = $1"
    await scene.general.execute(statement, subject.user_id)
    before = await dump(scene, set())
    outcome = await reconciler(scene).repair()
    expected = {Difference(Kind.UNPROVED, subject.tenant_id, subject.user_id)}
    assert (outcome.found, outcome.left) == (expected, expected)
    assert await dump(scene, set()) == before


async def test_a_user_of_another_tenant_is_not_taken_for_the_stranger(scene: Scene) -> None:
    """The ledger knows the id in its own tenant; an entry in the other one cannot be made."""
    subject = await scene.a_user(sessions=1)
    stranger = Subject(uuid4(), subject.user_id)
    await a_session(scene.general, stranger)
    expected = {Difference(Kind.STRANGER, stranger.tenant_id, stranger.user_id)}
    assert (await reconciler(scene).repair()).left == expected
    assert (await scene.entry(subject))["state"] == "present"


async def test_differences_are_counted_for_prometheus(scene: Scene) -> None:
    statement = "UPDATE owners SET state = 'closed' WHERE user_id = $1"
    await scene.general.execute(statement, (await scene.a_user(sessions=1)).user_id)
    await reconciler(scene).find()
    assert b"\nbicameral_reconcile_differences 1.0\n" in render()


# Somebody whose digest falls into the same bucket, so that reconcile looks at both.
NEIGHBOUR = """
SELECT id FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, 2000000)) AS many
WHERE ((uuid_hash_extended(id, uuid_hash_extended($1, 0))
        # uuid_hash_extended($2, uuid_hash_extended($1, 0))) & 65535) = 0
LIMIT 1
"""


@pytest.mark.parametrize(("how", "found"), [({}, 0), ({"readings": 1}, 1)])
async def test_a_deletion_between_two_readings_is_no_difference(
    scene: Scene, how: dict[str, Any], found: int
) -> None:
    """The control: after one look only it is taken for a restored user database."""
    subject = await scene.a_user(sessions=1)
    await a_silent_neighbour(scene, subject)

    async def watch(stage: str, _: int, __: int) -> None:
        if stage == "between" and not await scene.receipts():
            await scene.delete(subject)
            assert await scene.relay().run_once()

    differences = await reconciler(scene, watch=watch, **how).find()
    assert len(await scene.receipts()) == 1
    assert {one.kind for one in differences} == set([Kind.USER_RESTORED][:found])


async def a_silent_neighbour(scene: Scene, subject: Subject) -> None:
    neighbour = await scene.user.fetchval(NEIGHBOUR, subject.tenant_id, subject.user_id)
    await scene.user.execute(
        "INSERT INTO users (id, tenant_id, username, email, password_hash)"
        " VALUES ($1, $2, $3, 'neighbour', 'x')",
        neighbour,
        subject.tenant_id,
        f"\\{subject.tenant_id}\\neighbour",
    )


async def test_nothing_false_is_found_while_everybody_writes_and_leaves(scene: Scene) -> None:
    """Users are created, talk, are deleted and erased, all the time that reconcile looks."""
    relay = asyncio.create_task(scene.relay(relay_listen=False, relay_poll_seconds=0.001).run())
    looked = asyncio.Event()
    lives = asyncio.create_task(many_lives(scene, looked))
    for _ in range(3):
        assert await reconciler(scene).find() == frozenset()
    looked.set()
    await lives
    relay.cancel()
    await asyncio.wait({relay})
    assert (await reconciler(scene).repair()).found == frozenset()
    assert await scene.orphans() == 0


async def many_lives(scene: Scene, looked: asyncio.Event) -> None:
    for number in count():
        if looked.is_set():
            return
        subject = await scene.a_user()
        for _ in range(2):
            await a_session(scene.general, subject)
        if number % 3:
            await scene.delete(subject)


@pytest.mark.slow
async def test_a_relay_compares_the_databases_by_its_schedule(scene: Scene) -> None:
    """Tells, and mends nothing. With 0 it does not look at all."""
    subject = await rows_of_a_stranger(scene)
    metrics.DIFFERENCES.set(0)
    often = scene.settings.model_copy(update={"relay_reconcile_seconds": 0.001})
    async with reconciling(often), asyncio.timeout(30):
        while b"\nbicameral_reconcile_differences 1.0\n" not in render():  # noqa: ASYNC110  it has no event for it
            await asyncio.sleep(0)
    expected = {Difference(Kind.STRANGER, subject.tenant_id, subject.user_id)}
    assert await reconciler(scene).find() == expected
    async with reconciling(scene.settings):
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "reconcile"]


async def test_an_erasure_that_another_relay_holds_is_waited_for(scene: Scene) -> None:
    """It is not a difference, but nor is all well before it is done."""
    subject = await scene.a_user(sessions=1)
    await scene.delete(subject)
    holding, go_on = asyncio.Event(), asyncio.Event()

    async def hook(commit: str) -> None:
        if commit == "claim":
            holding.set()
            await go_on.wait()

    async def watch(stage: str, _: int, __: int) -> None:
        if stage == "erased":
            go_on.set()

    other = asyncio.create_task(scene.relay(hook=hook).run_once())
    await holding.wait()
    assert await reconciler(scene, watch=watch).repair() == Outcome(frozenset(), frozenset())
    assert await other
    assert await scene.orphans() == 0
