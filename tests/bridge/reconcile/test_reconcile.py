"""Each kind of difference, made by hand past the triggers: found, mended, nobody else touched."""

from __future__ import annotations

import pytest

from app.bridge.reconcile.differences import Difference, Kind
from app.bridge.reconcile.reconciler import Outcome
from tests.support.differences import (
    Fault,
    creation_undone_after_erasure,
    deleted_past_the_trigger,
    deletion_undone,
    deletion_undone_while_closing,
    entry_lost,
    erased,
    erasure_undone,
    owner_gone,
    receipt_changed_in_ledger,
    reconciler,
    repaired,
    rows_for_the_erased,
    rows_of_a_stranger,
    rows_of_a_stranger_without_owner,
    rows_without_owner,
    user_came_back,
    who,
)
from tests.support.erasure_scene import Scene, Subject, a_session, dump

ERASED = [
    (erasure_undone, Kind.ERASURE_LOST),
    (owner_gone, Kind.ERASURE_LOST),
    (receipt_changed_in_ledger, Kind.ERASURE_LOST),
    (deletion_undone, Kind.USER_RESTORED),
    (creation_undone_after_erasure, Kind.USER_RESTORED),
    (deletion_undone_while_closing, Kind.USER_RESTORED),
    (user_came_back, Kind.USER_RETURNED),
    (deleted_past_the_trigger, Kind.USER_LOST),
    (rows_for_the_erased, Kind.ROWS_LEFT),
    (rows_of_a_stranger, Kind.STRANGER),
    (rows_of_a_stranger_without_owner, Kind.STRANGER),
]
KEPT = [(entry_lost, Kind.ENTRY_LOST), (rows_without_owner, Kind.OWNER_LOST)]


@pytest.mark.parametrize(("fault", "kind"), ERASED)
async def test_a_user_who_is_proved_deleted_is_erased(
    scene: Scene, fault: Fault, kind: Kind
) -> None:
    subject = await checked(scene, fault, kind)
    statement = "SELECT count(*) FROM {} WHERE user_id = $1"
    assert await scene.general.fetchval(statement.format("chat_sessions"), *who(subject)) == 0
    assert await scene.user.fetchval(statement.format("access_tokens"), *who(subject)) == 0
    assert await scene.user.fetchval("SELECT count(*) FROM users WHERE id = $1", *who(subject)) == 0
    entry = await scene.entry(subject)
    receipts = {receipt["user_id"]: receipt["hash"] for receipt in await scene.receipts()}
    assert entry["state"] == "deleted"
    assert entry["receipt"] == receipts[subject.user_id]
    assert entry["delivered_rev"] == entry["rev"]


@pytest.mark.parametrize(("fault", "kind"), KEPT)
async def test_a_user_who_is_there_keeps_everything(scene: Scene, fault: Fault, kind: Kind) -> None:
    subject = await checked(scene, fault, kind)
    statement = "SELECT count(*) FROM chat_sessions WHERE user_id = $1"
    assert await scene.general.fetchval(statement, *who(subject)) > 0
    assert (await scene.entry(subject))["state"] == "present"
    await a_session(scene.general, subject)


async def checked(scene: Scene, fault: Fault, kind: Kind) -> Subject:
    """Found with exactly that listing; mended; and all rows of all others are as they were."""
    await scene.a_user(sessions=2)
    await scene.a_user()
    await erased(scene)
    subject = await fault(scene)
    before = await dump(scene, {str(subject.user_id), *await sessions_of(scene, subject)})
    expected = {Difference(kind, subject.tenant_id, subject.user_id)}
    assert await reconciler(scene).find() == expected
    mine = {str(subject.user_id), *await sessions_of(scene, subject)}
    assert await repaired(scene) == Outcome(frozenset(expected), frozenset())
    assert await dump(scene, mine) == before
    return subject


async def sessions_of(scene: Scene, subject: Subject) -> list[str]:
    statement = "SELECT id FROM chat_sessions WHERE user_id = $1"
    return [str(row[0]) for row in await scene.general.fetch(statement, *who(subject))]
