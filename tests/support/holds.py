"""Holds placed and lifted by SQL, and looks at them in both databases."""

from __future__ import annotations

import asyncpg

from tests.support.erasure_scene import Scene, Subject

PLACE = "INSERT INTO holds (tenant_id, user_id, reason) VALUES ($1, $2, 'litigation')"
LIFT = "DELETE FROM holds WHERE tenant_id = $1 AND user_id = $2"
HOLD = "SELECT * FROM holds WHERE tenant_id = $1 AND user_id = $2"
HELD = "SELECT held FROM owners WHERE tenant_id = $1 AND user_id = $2"


async def place(scene: Scene, subject: Subject) -> None:
    await scene.user.execute(PLACE, subject.tenant_id, subject.user_id)


async def lift(scene: Scene, subject: Subject) -> None:
    await scene.user.execute(LIFT, subject.tenant_id, subject.user_id)


async def row(scene: Scene, subject: Subject) -> asyncpg.Record:
    found = await scene.user.fetchrow(HOLD, subject.tenant_id, subject.user_id)
    assert found is not None
    return found


async def is_in_force(scene: Scene, subject: Subject) -> bool:
    """Tell it as an administrator sees it."""
    return (await row(scene, subject))["in_force_since"] is not None


async def held(scene: Scene, subject: Subject) -> bool:
    return bool(await scene.general.fetchval(HELD, subject.tenant_id, subject.user_id))
