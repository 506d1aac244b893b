"""Those whose credentials may be old after a restore are listed once each, over several pages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.bridge.reconcile.credentials import may_be_old
from tests.support.api_keys import a_backend
from tests.support.factories import World
from tests.support.logins import superuser
from tests.support.servers import Servers

EVENTS = "SELECT id, at FROM audit_events WHERE target_id = $1 ORDER BY id"


@pytest.mark.parametrize("page", [1, 2, 100])
async def test_everybody_and_every_key_is_listed_once(world: World, page: int) -> None:
    boss = await world.tenant_admin()
    people = [boss, *[await world.member() for _ in range(4)]]
    keys = [await a_backend(world, boss, "tokens") for _ in range(3)]
    found = await may_be_old(world.databases, None, page)
    assert [one.id for one in found.people] == sorted(one.id for one in people)
    assert [one.id for one in found.api_keys] == sorted(UUID(str(one.id)) for one in keys)


async def test_somebody_is_known_of_until_their_last_change_or_event(
    world: World, servers: Servers, database: str
) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    async with superuser(servers.user.url(database)) as user:
        for path in ("block", "unblock"):
            assert (await boss.http.post(f"/v1/users/{alice.id}/{path}")).is_success
        dated = await _dated(user, alice.id)
    assert await _as_of(world, alice.id) == dated


async def _dated(user: asyncpg.Connection[Any], id_: UUID) -> Any:
    """Date somebody's row long ago and each of their events a day after the one before."""
    await user.execute("UPDATE users SET updated_at = '2026-01-01Z' WHERE id = $1", id_)
    rows = await user.fetch(EVENTS, id_)
    assert len(rows) > 1
    days = [rows[0]["at"] + timedelta(days=day) for day in range(len(rows))]
    await user.executemany(
        "UPDATE audit_events SET at = $1 WHERE id = $2",
        [(at, row["id"]) for at, row in zip(days, rows, strict=True)],
    )
    return days[-1]


async def _as_of(world: World, id_: UUID) -> Any:
    found = await may_be_old(world.databases, None)
    return next(one.as_of for one in found.people if one.id == id_)
