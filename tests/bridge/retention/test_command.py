"""`litestar retention` tells what would go, sweeps at once, and a relay sweeps by itself."""

from __future__ import annotations

import asyncio
import json

from prometheus_client import REGISTRY

from tests.support.commands import litestar, urls
from tests.support.erasure_scene import Scene
from tests.support.retention_scene import (
    a_policy,
    an_old_session,
    retention_receipts,
    sessions,
)


async def test_a_dry_run_then_a_sweep(scene: Scene) -> None:
    env = urls(scene.servers, scene.database)
    alice = await a_policy(scene)
    for texts in (2, 3):
        await an_old_session(scene, alice, texts=texts)
    counts = {"tenant_id": str(alice.tenant_id), "chat_sessions": 2, "messages": 5}
    told = await litestar("retention", "--dry-run", "--json", env=env)
    (row,) = json.loads(told.out)["tenants"]
    assert row == counts | {"retention_days": 30, "cutoff": row["cutoff"]}
    first, last = (await litestar("retention", "--dry-run", env=env)).out.splitlines()
    assert first.startswith(f"tenant {alice.tenant_id}: 2 sessions, 5 messages, cutoff 20")
    assert last == "2 sessions, 5 messages would be deleted, in 1 tenants."
    assert len(await sessions(scene)) == 2
    done = await litestar("retention", "--json", env=env)
    receipts = [row["hash"] for row in await scene.receipts()]
    answer = {"dry_run": False, "tenants": [counts | {"receipts": receipts}]}
    assert json.loads(done.out) == answer | {"chat_sessions": 2, "messages": 5}
    again = await litestar("retention", env=env)
    assert again.out == "0 sessions, 0 messages deleted, in 0 tenants.\n"
    assert await retention_receipts(scene) == [(2, 5)]


async def test_a_relay_sweeps_again_and_again_and_counts(scene: Scene) -> None:
    alice = await a_policy(scene)
    before = swept()
    relay = asyncio.create_task(scene.relay(retention_sweep_seconds=0.05).run())
    try:
        for count in (1, 2):
            await an_old_session(scene, alice)
            async with asyncio.timeout(20):
                while len(await retention_receipts(scene)) < count:
                    pass  # the database has no event for it
    finally:
        relay.cancel()
        await asyncio.wait({relay})
    assert (swept()[0] - before[0], swept()[1] - before[1]) == (2, 4)
    assert REGISTRY.get_sample_value("bicameral_retention_sweep_seconds") is not None


def swept() -> tuple[float, float]:
    name = "bicameral_retention_swept_rows_total"
    tables = ("chat_sessions", "messages")
    values = [REGISTRY.get_sample_value(name, {"table": table}) or 0 for table in tables]
    return values[0], values[1]
