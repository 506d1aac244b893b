"""A relay deletes audit events that were kept for AUDIT_KEPT_DAYS, and no others."""

from __future__ import annotations

import asyncio
from typing import Any

from app.bridge.erasure import expiry
from tests.support.erasure_scene import Scene

# The id of a moment in the past begins with it, as `audit_id` has it.
EVENT = """
INSERT INTO audit_events (tenant_id, id, at, actor_type, action, target_type, request_id)
SELECT gen_random_uuid(), (lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0')
       || '7' || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid,
       moment, 'operator', 'user.created', 'user', $1::text
FROM (SELECT now() - make_interval(days => $2, mins => $3)) AS age (moment)
"""
KEPT = "SELECT request_id FROM audit_events ORDER BY id DESC"


async def kept(scene: Scene) -> list[str]:
    return [row[0] for row in await scene.user.fetch(KEPT)]


async def events(scene: Scene, days: int) -> None:
    """Add an event a minute younger than so many days, and one a minute older."""
    await scene.user.execute(EVENT, f"younger than {days}", days, -1)
    await scene.user.execute(EVENT, f"older than {days}", days, 1)


async def sweep_until(scene: Scene, wanted: list[str], **settings: Any) -> None:
    relay = scene.relay(idempotency_sweep_seconds=0.01, relay_listen=False, **settings)
    running = asyncio.create_task(relay.run())
    try:
        async with asyncio.timeout(30):
            while await kept(scene) != wanted:
                assert not running.done()
    finally:
        running.cancel()
        await asyncio.wait({running})


async def test_events_go_when_they_were_kept_for_as_long_as_the_setting_says(scene: Scene) -> None:
    for days in (3, 400):
        await events(scene, days)
    young = ["younger than 3", "older than 3", "younger than 400"]
    await sweep_until(scene, young)
    await sweep_until(scene, young[:1], audit_kept_days=3)


async def test_many_go_in_batches(scene: Scene) -> None:
    for _ in range(2 * expiry.ROWS + 1):
        await scene.user.execute(EVENT, "old", 401, 0)
    assert await scene.user.fetchval("SELECT expire_audit_events('400 days', 2)") == 2
    await expiry.expire(scene.databases.user, expiry.EVENTS.bindparams(kept_days=400))
    assert await kept(scene) == []
