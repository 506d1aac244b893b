"""Differences between the two databases, each made by hand past the triggers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg

from app.bridge.reconcile.reconciler import Outcome, Reconciler, reconcile_settings
from tests.support.erasure_scene import Scene, Subject, a_session


def reconciler(scene: Scene, **how: Any) -> Reconciler:
    return Reconciler(scene.databases, reconcile_settings(scene.settings), **how)


async def repaired(scene: Scene) -> Outcome:
    outcome = await reconciler(scene).repair()
    assert await reconciler(scene).find() == frozenset()
    return outcome


@asynccontextmanager
async def past_all_guards(connection: asyncpg.Connection) -> AsyncGenerator[None]:
    """Neither triggers nor foreign keys fire, as when a replica applies or pg_restore loads."""
    await connection.execute("SET session_replication_role = replica")
    try:
        yield
    finally:
        await connection.execute("SET session_replication_role = origin")


async def erased(scene: Scene, sessions: int = 2, *, neighbours: int = 1) -> Subject:
    """Erase somebody of a tenant where others have talked as well."""
    tenant_id = await scene.a_tenant()
    for _ in range(neighbours):
        await scene.a_user(tenant_id, sessions=1)
    subject = await scene.a_user(tenant_id, sessions=sessions)
    await scene.delete(subject)
    assert await scene.relay().run_once()
    return subject


# Each makes a difference about a user of its own, and returns that user.
Fault = Callable[[Scene], Awaitable[Subject]]


async def erasure_undone(scene: Scene) -> Subject:
    """The general database is as if restored to before the erasure."""
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
    """The user database is as if restored to before the deletion."""
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
        f"\\{subject.tenant_id}\\{subject.user_id}",
    )


def who(subject: Subject) -> tuple[Any, ...]:
    return (subject.user_id,)
