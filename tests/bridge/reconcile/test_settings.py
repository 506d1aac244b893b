"""Reconcile mends as its settings say, not as the defaults do."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

import asyncpg

from app.bridge.reconcile.reconciler import Outcome
from tests.support.differences import past_all_guards, reconciler
from tests.support.erasure_scene import Scene
from tests.support.locks import lock_rows, until_waiting

POLL_SECONDS = 2.5
DEFAULT_LEASE_SECONDS = 15
ROUND_TRIPS = 100  # enough for another to come as far
WAITING = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted"


async def test_stray_messages_are_deleted_by_as_many_as_the_setting_says(scene: Scene) -> None:
    """Somebody holds the third of five: two are gone by then, in a transaction of their own."""
    subject, lost = await scene.a_user(sessions=1), uuid4()
    async with past_all_guards(scene.general):
        await scene.general.execute(
            "INSERT INTO messages (tenant_id, id, session_id, position, role, content)"
            " SELECT $1, gen_random_uuid(), $2, n, 'user', 'Hello' FROM generate_series(1, 5) n",
            subject.tenant_id,
            lost,
        )
    scene.settings = scene.settings.model_copy(update={"relay_batch_rows": 2})
    holder = await asyncpg.connect(scene.servers.general.url(scene.database))
    async with holder.transaction():
        await holder.execute(
            "SELECT FROM messages WHERE session_id = $1 AND position = 3 FOR UPDATE", lost
        )
        mending = asyncio.create_task(reconciler(scene).repair())
        await until_waiting(scene.general)
        left = "SELECT count(*) FROM messages WHERE session_id = $1"
        assert await scene.general.fetchval(left, lost) == 3
    await mending
    await holder.close()
    assert await scene.general.fetchval(left, lost) == 0


async def test_what_is_pending_is_erased_by_as_many_as_the_setting_says(scene: Scene) -> None:
    for _ in range(3):
        await scene.delete(await scene.a_user(sessions=1))
    scene.settings = scene.settings.model_copy(update={"relay_workers": 1})
    holder = await asyncpg.connect(scene.servers.general.url(scene.database))
    async with holder.transaction():
        await lock_rows(holder, "owners")
        mending = asyncio.create_task(reconciler(scene).repair())
        await until_waiting(scene.general)
        for _ in range(ROUND_TRIPS):
            assert await scene.general.fetchval(WAITING) == 1
    await mending
    await holder.close()
    assert await scene.orphans() == 0


async def test_what_fails_is_looked_at_again_and_given_up_as_the_settings_say(scene: Scene) -> None:
    await scene.delete(await scene.a_user(sessions=1))
    await scene.general.execute("ALTER TABLE messages RENAME TO hidden")
    own = {"relay_lease_seconds": 0.5, "relay_backoff_seconds": 100}
    scene.settings = scene.settings.model_copy(update=own | {"relay_poll_seconds": POLL_SECONDS})
    assert await scene.relay().run_once()
    await scene.general.execute("ALTER TABLE hidden RENAME TO messages")
    began = time.monotonic()
    assert await reconciler(scene).repair() == Outcome(frozenset(), frozenset(), pending=1)
    assert POLL_SECONDS <= time.monotonic() - began < DEFAULT_LEASE_SECONDS
