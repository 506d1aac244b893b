"""Users of one tenant are erased together: each with a receipt, nobody at another's cost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest

from app.bridge.erasure.receipts import export, verify
from app.bridge.erasure.relay import AwayError
from app.bridge.hooks import Hook
from tests.support.erasure_scene import Scene, Subject, a_session
from tests.support.relay_process import COMMITS

REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.user_id = '{}' THEN RAISE EXCEPTION 'not this one' USING ERRCODE = '23514'; END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER a_refuse BEFORE DELETE ON chat_sessions FOR EACH ROW EXECUTE FUNCTION refuse();
"""
HOLD = "SELECT set_hold($1, $2, $3, $4)"
TAKE_OVER = "UPDATE subject_ledger SET lease_until = now() + interval '1 hour' WHERE user_id = $1"


async def deleted(scene: Scene, *sessions: int) -> list[Subject]:
    """Delete people of one tenant with one commit, and leave somebody else there."""
    tenant_id = await scene.a_tenant()
    await scene.a_user(tenant_id, sessions=1)
    people = [await scene.a_user(tenant_id, sessions=number) for number in sessions]
    ids = [one.user_id for one in people]
    await scene.user.execute("DELETE FROM users WHERE id = ANY ($1)", ids)
    return people


async def erased(scene: Scene) -> set[UUID]:
    """Those with a receipt that the ledger has as well."""
    proofs = {(one["user_id"], one["hash"]) for one in await scene.receipts()}
    entries = await scene.user.fetch("SELECT user_id, receipt FROM subject_ledger")
    return {row["user_id"] for row in entries if (row["user_id"], row["receipt"]) in proofs}


def ids(people: Sequence[Subject]) -> set[UUID]:
    return {one.user_id for one in people}


def at(commit: str, *, error: BaseException | None = None, seen: list[str] | None = None) -> Hook:
    async def hook(reached: str) -> None:
        if seen is not None:
            seen.append(reached)
        if error and reached == commit:
            raise error

    return hook


async def test_a_batch_takes_each_step_once_and_each_has_a_receipt_of_their_own(
    scene: Scene,
) -> None:
    people = await deleted(scene, 3, 0, 1, 2)
    seen: list[str] = []
    assert await scene.relay(hook=at("", seen=seen)).run_once() == 4
    assert tuple(seen) == COMMITS
    assert await erased(scene) == ids(people)
    counts = {one["user_id"]: one["messages"] for one in await scene.receipts()}
    assert [counts[one.user_id] for one in people] == [6, 0, 2, 4]
    assert verify([line async for line in export(scene.databases.general)]).receipts == 4
    assert await scene.general.fetchval("SELECT count(*) FROM messages") == 2


async def test_a_batch_is_of_one_tenant_and_of_as_many_users_as_the_setting_says(
    scene: Scene,
) -> None:
    """The newest deletion is claimed every other time, and alone."""
    first, second = await deleted(scene, 1, 1, 1, 1, 1), await deleted(scene, 1, 1)
    relay = scene.relay(relay_batch_users=3)
    assert await relay.run_once() == 3
    assert await erased(scene) < ids(first)
    assert await relay.run_once() == 1
    assert len(await erased(scene) & ids(second)) == 1
    assert [await relay.run_once() for _ in range(4)] == [2, 1, 0, 0]
    assert await erased(scene) == ids(first) | ids(second)


async def test_one_person_does_not_wait_for_those_deleted_before_in_the_same_tenant(
    scene: Scene,
) -> None:
    many = await deleted(scene, 1, 1, 1, 1)
    lone = await scene.a_user(many[0].tenant_id, sessions=1)
    await scene.delete(lone)
    relay = scene.relay(relay_batch_users=2)
    assert [await relay.run_once() for _ in range(2)] == [2, 1]
    assert lone.user_id in await erased(scene)


async def test_an_erasure_that_fails_holds_up_nobody_of_its_batch(scene: Scene) -> None:
    people = await deleted(scene, 1, 1, 1)
    await scene.general.execute(REFUSE.format(people[1].user_id))
    assert await scene.relay().run_once() == 3
    assert await erased(scene) == ids([people[0], people[2]])
    entry = await scene.entry(people[1])
    assert (entry["attempts"], entry["last_error"]) == (1, "IntegrityError 23514")
    assert entry["not_before"] > entry["changed_at"]
    assert entry["lease_until"] is None
    await scene.general.execute("DROP TRIGGER a_refuse ON chat_sessions")
    await scene.due()
    assert await scene.relay().run_once() == 1
    assert await erased(scene) == ids(people)


async def test_a_held_owner_is_neither_closed_nor_purged_with_the_others(scene: Scene) -> None:
    """Nobody held is deleted by the service; a restored user database can have one."""
    people = await deleted(scene, 1, 1, 1)
    held = people[1]
    await scene.general.execute(HOLD, held.tenant_id, held.user_id, True, 1)
    assert await scene.relay().run_once() == 3
    assert await erased(scene) == ids([people[0], people[2]])
    state = "SELECT state FROM owners WHERE user_id = $1"
    assert await scene.general.fetchval(state, held.user_id) == "open"
    assert await scene.general.fetchval("SELECT count(*) FROM messages") == 4
    await scene.general.execute(HOLD, held.tenant_id, held.user_id, False, 2)
    await scene.due()
    assert await scene.relay().run_once() == 1
    assert await erased(scene) == ids(people)


async def test_a_large_person_is_the_last_of_a_batch_and_alone_in_it(scene: Scene) -> None:
    """Two are: while one is being erased, the other is there for another relay."""
    people = await deleted(scene, 1, 0, 1, 0, 1)
    small, large = [people[0], people[2], people[4]], [people[1], people[3]]
    for one in large:
        await a_session(scene.general, one, 20)
    others: list[int] = []

    async def hook(reached: str) -> None:
        if reached == "batch" and not others and await erased(scene) == ids(small):
            others.append(await scene.relay(relay_batch_rows=9).run_once())

    assert await scene.relay(relay_batch_rows=9, relay_turn_seconds=60, hook=hook).run_once() == 5
    assert others == [1]
    assert await erased(scene) == ids(people)
    assert [one["messages"] for one in await scene.receipts()][3:] == [20, 20]


async def test_a_batch_whose_turn_is_over_keeps_what_it_has_and_hands_on_the_rest(
    scene: Scene,
) -> None:
    people = await deleted(scene, 1, 1, 1)
    relay = scene.relay(relay_batch_rows=3, relay_turn_seconds=0.000001)
    for done in (1, 2, 3):
        await relay.run_once()
        assert len(await erased(scene)) == done
    entries = [await scene.entry(one) for one in people]
    assert [(one["attempts"], one["last_error"]) for one in entries] == [(1, None)] * 3


@pytest.mark.parametrize("commit", COMMITS[:-1])
async def test_a_relay_that_is_stopped_gives_back_all_that_it_holds(
    scene: Scene, commit: str
) -> None:
    people = await deleted(scene, 2, 2, 2)
    relay = scene.relay(hook=at(commit, error=asyncio.CancelledError()))
    with pytest.raises(asyncio.CancelledError):
        await relay.run_once()
    for one in people:
        entry = await scene.entry(one)
        assert (entry["lease_until"], entry["attempts"], entry["last_error"]) == (None, 0, None)
    assert await scene.relay().run_once() == 3
    assert await erased(scene) == ids(people)


@pytest.mark.parametrize("commit", COMMITS[:-1])
async def test_a_database_that_is_away_is_the_fault_of_none_of_them(
    scene: Scene, commit: str
) -> None:
    people = await deleted(scene, 1, 1, 1)
    with pytest.raises(AwayError):
        await scene.relay(hook=at(commit, error=ConnectionResetError())).run_once()
    for one in people:
        entry = await scene.entry(one)
        assert (entry["attempts"], entry["lease_until"]) == (0, None)
        assert entry["last_error"] == "ConnectionResetError"
    assert await scene.relay().run_once() == 3
    assert await erased(scene) == ids(people)


@pytest.mark.parametrize("commit", COMMITS[:-1])
@pytest.mark.parametrize("lease", [15, 0.000001], ids=["", "renewed"])
async def test_a_relay_that_lost_one_of_its_erasures_completes_the_others(
    scene: Scene, commit: str, lease: float
) -> None:
    """It marks nothing of the one that another relay has taken over."""
    people = await deleted(scene, 1, 1, 1)
    lost = people[1]

    async def hook(reached: str) -> None:
        if reached == commit:
            await scene.user.execute(TAKE_OVER, lost.user_id)

    await scene.relay(hook=hook, relay_lease_seconds=lease).run_once()
    assert await erased(scene) == ids([people[0], people[2]])
    entry = await scene.entry(lost)
    assert (entry["receipt"], entry["completed_at"], entry["attempts"]) == (None, None, 1)
    assert entry["lease_until"] is not None
    await scene.due()
    assert await scene.relay().run_once() == 1
    assert await erased(scene) == ids(people)
