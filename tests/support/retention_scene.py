"""Tests of retention make policies, sessions of an age, and sweeps in a pair of databases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from app.bridge.erasure.receipts import export, verify
from app.bridge.hooks import Hook
from app.bridge.retention.sweeper import Sweeper, TenantSwept
from tests.support.erasure_scene import Scene, Subject, a_session

AGO = "SELECT now() - $1::interval"  # a statement of its own: Citus updates to values only
AGED = "UPDATE chat_sessions SET updated_at = $2 WHERE id = $1"
SESSIONS = "SELECT id FROM chat_sessions"
ORPHANS = """
SELECT count(*) FROM messages m
LEFT JOIN chat_sessions s ON s.tenant_id = m.tenant_id AND s.id = m.session_id WHERE s.id IS NULL
"""


async def keep_for(scene: Scene, tenant_id: UUID, days: int | None) -> None:
    statement = "UPDATE tenants SET retention_days = $2 WHERE id = $1"
    await scene.user.execute(statement, tenant_id, days)


async def a_policy(scene: Scene, days: int = 30) -> Subject:
    """Make a user whose tenant keeps conversations for so many days."""
    subject = await scene.a_user()
    await keep_for(scene, subject.tenant_id, days)
    return subject


async def an_old_session(
    scene: Scene, subject: Subject, *, days: float = 40, texts: int = 2
) -> UUID:
    session_id = await a_session(scene.general, subject, texts)
    moment = await scene.general.fetchval(AGO, timedelta(days=days))
    await scene.general.execute(AGED, session_id, moment)
    return session_id


async def touch(connection: asyncpg.Connection, session_id: UUID) -> None:
    statement = "UPDATE chat_sessions SET updated_at = now(), title = 'now' WHERE id = $1"
    await connection.execute(statement, session_id)


async def sessions(scene: Scene) -> set[UUID]:
    return {row["id"] for row in await scene.general.fetch(SESSIONS)}


async def sweep(scene: Scene, *, hook: Hook | None = None, **settings: Any) -> list[TenantSwept]:
    changed = scene.settings.model_copy(update=settings)
    return [one async for one in Sweeper(scene.databases, changed, hook=hook).sweep()]


async def retention_receipts(scene: Scene) -> list[tuple[int, int]]:
    """Count what the chain, which must be unbroken, says of retention; and that no row is left."""
    assert verify([line async for line in export(scene.databases.general)])
    assert await scene.general.fetchval(ORPHANS) == 0
    rows = [row for row in await scene.receipts() if row["kind"] == "retention"]
    return [(row["chat_sessions"], row["messages"]) for row in rows]


async def tallies(scene: Scene) -> list[tuple[int, int]]:
    rows = await scene.general.fetch("SELECT * FROM retention_tallies ORDER BY tenant_id, day")
    return [(row["chat_sessions"], row["messages"]) for row in rows]
