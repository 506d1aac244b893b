"""Either database was restored to before a hold was placed or lifted: the hold wins."""

from __future__ import annotations

from uuid import UUID

import pytest

from app.bridge.holds.relay import HoldRelay
from app.bridge.reconcile.differences import Kind
from app.bridge.reconcile.holds import REASON, OwnerHold, UserHold, compare
from tests.support.differences import erased, reconciler
from tests.support.erasure_scene import Scene
from tests.support.holds import held, lift, place, row
from tests.support.restores import back_up, restore

IDS = (UUID(int=1), UUID(int=2))


async def delivered(scene: Scene) -> None:
    while await HoldRelay(scene.databases).run_once():
        pass


async def found(scene: Scene) -> set[Kind]:
    restored = {Kind.USER_DATABASE_RESTORED, Kind.GENERAL_DATABASE_RESTORED}
    return {one.kind for one in await reconciler(scene).find()} - restored


async def repaired(scene: Scene) -> None:
    await reconciler(scene).repair()
    assert await reconciler(scene).find() == frozenset()


async def test_a_general_database_restored_to_before_a_hold(scene: Scene) -> None:
    alice = await scene.a_user(sessions=1)
    await back_up(scene, "general")
    await place(scene, alice)
    await delivered(scene)
    before = (await row(scene, alice))["in_force_since"]
    await restore(scene, "general")
    assert not await held(scene, alice)
    assert await found(scene) == {Kind.HOLD_NOT_IN_FORCE}
    await repaired(scene)
    assert await held(scene, alice)
    assert (await row(scene, alice))["in_force_since"] > before


async def test_a_general_database_restored_to_before_a_lift(scene: Scene) -> None:
    alice = await scene.a_user(sessions=1)
    await place(scene, alice)
    await delivered(scene)
    await back_up(scene, "general")
    await lift(scene, alice)
    await delivered(scene)
    await restore(scene, "general")
    assert await held(scene, alice)
    assert await found(scene) == {Kind.HOLD_LEFT}
    await repaired(scene)
    assert not await held(scene, alice)


async def test_a_user_database_restored_to_before_a_hold(scene: Scene) -> None:
    """Nobody loses what the law keeps: the hold is placed again, and says what became of it."""
    alice = await scene.a_user(sessions=1)
    await back_up(scene, "user")
    await place(scene, alice)
    await delivered(scene)
    await restore(scene, "user")
    assert await found(scene) == {Kind.HOLD_LOST}
    await repaired(scene)
    hold = await row(scene, alice)
    assert (hold["reason"], hold["placed_by"]) == (REASON, None)
    assert hold["in_force_since"] is not None
    assert await held(scene, alice)
    event = await scene.user.fetchrow("SELECT * FROM audit_events WHERE action = 'hold.placed'")
    assert event
    assert (event["target_id"], event["reason"]) == (alice.user_id, REASON)
    await lift(scene, alice)
    await delivered(scene)
    assert not await held(scene, alice)


async def test_a_user_database_restored_to_before_a_lift(scene: Scene) -> None:
    alice = await scene.a_user(sessions=1)
    await place(scene, alice)
    await delivered(scene)
    await back_up(scene, "user")
    await lift(scene, alice)
    await delivered(scene)
    await restore(scene, "user")
    assert await found(scene) == {Kind.HOLD_NOT_IN_FORCE}
    await repaired(scene)
    assert await held(scene, alice)


async def test_a_hold_after_a_restore_outruns_what_the_other_database_has_seen(
    scene: Scene,
) -> None:
    """Nobody reconciled. The revisions of the restored database begin anew, behind the other's."""
    alice = await scene.a_user(sessions=1)
    await back_up(scene, "user")
    for _ in range(3):
        await place(scene, alice)
        await delivered(scene)
        await lift(scene, alice)
        await delivered(scene)
    await restore(scene, "user")
    await place(scene, alice)
    await delivered(scene)
    assert await held(scene, alice)
    assert (await row(scene, alice))["in_force_since"] is not None


async def test_a_user_who_came_back_with_their_hold_is_reported(scene: Scene) -> None:
    """The receipt proves the deletion, the hold forbids to do it again: an operator decides."""
    alice = await scene.a_user(sessions=1)
    await place(scene, alice)
    await delivered(scene)
    await back_up(scene, "user")
    await lift(scene, alice)
    await delivered(scene)
    await scene.delete(alice)
    assert await scene.relay().run_once()
    await restore(scene, "user")
    outcome = await reconciler(scene).repair()
    assert {one.kind for one in outcome.left} == {Kind.USER_RESTORED}
    await lift(scene, alice)
    await delivered(scene)
    await repaired(scene)


async def test_somebody_unknown_who_is_held_is_not_erased(scene: Scene) -> None:
    await erased(scene)  # somebody has been known
    await back_up(scene, "user")
    alice = await scene.a_user(sessions=1)
    await place(scene, alice)
    await delivered(scene)
    await restore(scene, "user")
    outcome = await reconciler(scene).repair()
    assert {one.kind for one in outcome.left} == {Kind.STRANGER, Kind.HOLD_LOST}
    sessions = "SELECT count(*) FROM chat_sessions WHERE user_id = $1"
    assert await scene.general.fetchval(sessions, alice.user_id) == 1


@pytest.mark.parametrize(
    ("user", "owner", "kind"),
    [
        ((False, 0, False), (False, 0), None),
        ((True, 1, True), (False, 0), None),
        ((True, 1, False), (True, 1), None),
        ((True, 1, False), (False, 0), Kind.HOLD_NOT_IN_FORCE),
        ((True, 1, False), (False, 2), Kind.HOLD_NOT_IN_FORCE),
        ((False, 2, False), (True, 1), Kind.HOLD_LEFT),
        ((False, 2, False), (True, 2), Kind.HOLD_LEFT),
        ((False, 0, False), (True, 1), Kind.HOLD_LOST),
        ((False, 2, False), (False, 4), None),
    ],
)
def test_what_the_revisions_prove(
    user: tuple[bool, int, bool], owner: tuple[bool, int], kind: Kind | None
) -> None:
    assert compare(UserHold(*IDS, *user), OwnerHold(*IDS, *owner)) is kind
