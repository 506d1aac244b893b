"""A difference counts only if a second look finds the same; a mend waits for whoever is at it."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from app.bridge.reconcile.differences import Kind
from app.bridge.reconcile.reconciler import reconciling
from tests.support.differences import (
    entry_lost,
    past_all_guards,
    reconciler,
    rows_for_the_erased,
    who,
)
from tests.support.erasure_scene import Scene
from tests.support.locks import until_waiting
from tests.support.outages import frozen
from tests.support.pgbouncer import only_directly

STOP_SECONDS = 0.4
STRAY = """
INSERT INTO messages (tenant_id, id, session_id, position, role, content)
VALUES ($1, gen_random_uuid(), $2, 1, 'user', 'Hello')
"""


@pytest.mark.parametrize(
    ("how", "found"), [({}, set[Kind]()), ({"readings": 1}, {Kind.STRAY_MESSAGES})]
)
async def test_stray_messages_that_are_gone_at_a_second_look_are_no_difference(
    scene: Scene, how: dict[str, Any], found: set[Kind]
) -> None:
    subject, lost = await scene.a_user(), uuid4()
    async with past_all_guards(scene.general):
        await scene.general.execute(STRAY, subject.tenant_id, lost)

    async def watch(stage: str, _: int, __: int) -> None:
        if stage == "receipts":  # by then the first look has seen them
            await scene.general.execute("DELETE FROM messages WHERE session_id = $1", lost)

    assert {one.kind for one in await reconciler(scene, watch=watch, **how).find()} == found


async def test_a_difference_that_is_of_another_kind_at_a_second_look_waits_for_a_third(
    scene: Scene,
) -> None:
    subject = await rows_for_the_erased(scene)
    looks = 0

    async def watch(stage: str, _: int, __: int) -> None:
        nonlocal looks
        looks += stage == "between"
        if stage == "between" and looks == 2:
            async with past_all_guards(scene.general):
                await scene.general.execute("DELETE FROM owners WHERE user_id = $1", *who(subject))

    assert await reconciler(scene, watch=watch).find() == frozenset()
    assert looks == 2
    assert {one.kind for one in await reconciler(scene).find()} == {Kind.ERASURE_LOST}


async def test_a_mend_waits_for_whoever_is_deleting_the_user(scene: Scene) -> None:
    """Without its lock it would note somebody as present who is gone when it commits."""
    subject = await entry_lost(scene)
    service = await asyncpg.connect(scene.servers.user.url(scene.database, "bicameral_app"))
    await service.execute(f"SET app.tenant_id = '{subject.tenant_id}'")
    mend = "SELECT mend_ledger($1, $2, 'present')"
    deleter = await asyncpg.connect(scene.servers.user.url(scene.database))
    async with past_all_guards(deleter), deleter.transaction():
        await deleter.execute("DELETE FROM users WHERE id = $1", *who(subject))
        mending = asyncio.create_task(service.execute(mend, subject.tenant_id, subject.user_id))
        await until_waiting(scene.user)
    await mending
    for connection in (service, deleter):
        await connection.close()
    statement = "SELECT count(*) FROM subject_ledger WHERE user_id = $1"
    assert await scene.user.fetchval(statement, *who(subject)) == 0


@only_directly("a frozen server is behind PgBouncer, which answers for it")
async def test_a_comparison_that_stops_has_the_time_that_the_setting_says(scene: Scene) -> None:
    """The server says nothing more, so its statement does not end when it is cancelled."""
    own = {"relay_reconcile_seconds": 0.001, "relay_stop_seconds": STOP_SECONDS}
    settings = scene.settings.model_copy(update=own)
    comparing = reconciling(settings)
    async with scene.general.transaction():
        await scene.general.execute("LOCK TABLE owners")
        await comparing.__aenter__()
        await until_waiting(scene.general)
        async with frozen(scene.servers.general, scene.database):
            began = time.monotonic()
            await comparing.__aexit__(None, None, None)
            took = time.monotonic() - began
    assert STOP_SECONDS <= took < 4 * STOP_SECONDS
