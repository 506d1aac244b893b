"""Each kind of difference, made by hand past the triggers: found, mended, nobody else touched."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from app.bridge.reconcile.differences import Difference, Kind
from app.bridge.reconcile.reconciler import Outcome, Reconciler, reconcile_settings
from tests.support.erasures import Scene, Subject, a_session, dump


def reconciler(scene: Scene, **how: Any) -> Reconciler:
    return Reconciler(scene.databases, reconcile_settings(scene.settings), **how)


async def repaired(scene: Scene) -> Outcome:
    outcome = await reconciler(scene).repair()
    assert await reconciler(scene).find() == frozenset()
    return outcome


@asynccontextmanager
async def past_all_guards(connection: asyncpg.Connection) -> AsyncGenerator[None]:
    """As a replica applies and pg_restore loads: neither triggers nor foreign keys fire."""
    await connection.execute("SET session_replication_role = replica")
    try:
        yield
    finally:
        await connection.execute("SET session_replication_role = origin")


async def erased(scene: Scene, sessions: int = 2) -> Subject:
    subject = await scene.a_user(sessions=sessions)
    await scene.delete(subject)
    assert await scene.relay().run_once()
    return subject


# Each makes a difference about a user of its own, and returns that user.
Fault = Callable[[Scene], Awaitable[Subject]]


async def erasure_undone(scene: Scene) -> Subject:
    """As if the general database had been restored to before the erasure."""
    subject = await erased(scene)
    async with past_all_guards(scene.general):
        await scene.general.execute(
            "DELETE FROM erasure_receipts WHERE user_id = $1", *who(subject)
        )
        await scene.general.execute(
            "UPDATE owners SET state = 'open' WHERE user_id = $1", *who(subject)
        )
    await a_session(scene.general, subject)
    return subject


async def owner_gone(scene: Scene) -> Subject:
    subject = await erased(scene)
    async with past_all_guards(scene.general):
        await scene.general.execute("DELETE FROM owners WHERE user_id = $1", *who(subject))
    return subject


async def receipt_changed_in_ledger(scene: Scene) -> Subject:
    subject = await erased(scene)
    await scene.user.execute(
        "UPDATE subject_ledger SET receipt = repeat('0', 64) WHERE user_id = $1", *who(subject)
    )
    return subject


async def deletion_undone(scene: Scene) -> Subject:
    """As if the user database had been restored to before the deletion."""
    subject = await erased(scene)
    async with past_all_guards(scene.user):
        await scene.user.execute(
            "UPDATE subject_ledger"
            " SET state = 'present', rev = 1, delivered_rev = 1, receipt = NULL"
            " WHERE user_id = $1",
            *who(subject),
        )
        await revive(scene, subject)
    await scene.user.execute(
        "INSERT INTO access_tokens (digest, tenant_id, user_id, expires_at)"
        " VALUES ('x', $2, $1, now() + interval '1 day')",
        *who(subject),
        subject.tenant_id,
    )
    return subject


async def creation_undone_after_erasure(scene: Scene) -> Subject:
    subject = await erased(scene)
    async with past_all_guards(scene.user):
        await scene.user.execute("DELETE FROM subject_ledger WHERE user_id = $1", *who(subject))
    return subject


async def deletion_undone_while_closing(scene: Scene) -> Subject:
    """The relay had come no further than closing the owner."""
    subject = await scene.a_user(sessions=2)
    await scene.general.execute(
        "UPDATE owners SET state = 'closed', closed_at = now() WHERE user_id = $1", *who(subject)
    )
    return subject


async def user_came_back(scene: Scene) -> Subject:
    subject = await erased(scene)
    async with past_all_guards(scene.user):
        await revive(scene, subject)
    return subject


async def entry_lost(scene: Scene) -> Subject:
    subject = await scene.a_user(sessions=2)
    async with past_all_guards(scene.user):
        await scene.user.execute("DELETE FROM subject_ledger WHERE user_id = $1", *who(subject))
    return subject


async def deleted_past_the_trigger(scene: Scene) -> Subject:
    subject = await scene.a_user(sessions=2)
    async with past_all_guards(scene.user):
        await scene.delete(subject)
    return subject


async def rows_for_the_erased(scene: Scene) -> Subject:
    subject = await erased(scene)
    async with past_all_guards(scene.general):
        await a_session(scene.general, subject)
    return subject


async def rows_without_owner(scene: Scene) -> Subject:
    subject = await scene.a_user()
    async with past_all_guards(scene.general):
        await a_session(scene.general, subject)
    return subject


async def rows_of_a_stranger(scene: Scene) -> Subject:
    subject = Subject(uuid4(), uuid4())
    await a_session(scene.general, subject)
    return subject


async def rows_of_a_stranger_without_owner(scene: Scene) -> Subject:
    subject = Subject(uuid4(), uuid4())
    async with past_all_guards(scene.general):
        await a_session(scene.general, subject)
    return subject


async def revive(scene: Scene, subject: Subject) -> None:
    await scene.user.execute(
        "INSERT INTO users (id, tenant_id, username, email, password_hash)"
        " VALUES ($1, $2, $3, $3, 'x')",
        *who(subject),
        subject.tenant_id,
        f"\\t\\{subject.user_id}",
    )


def who(subject: Subject) -> tuple[Any, ...]:
    return (subject.user_id,)


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
async def test_whoever_is_proved_deleted_is_erased(scene: Scene, fault: Fault, kind: Kind) -> None:
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
async def test_whoever_is_there_keeps_everything(scene: Scene, fault: Fault, kind: Kind) -> None:
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
