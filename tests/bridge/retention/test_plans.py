"""A sweep reads the sessions that are due and no others, however many a tenant has."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.erasure_scene import Scene
from tests.support.plans import WRITTEN_DOWN
from tests.support.retention_scene import a_policy, an_old_session

MANY = """
INSERT INTO chat_sessions (tenant_id, id, user_id, expires_at)
SELECT $1, gen_random_uuid(), $2, CASE WHEN n % 2 = 0 THEN now() + interval '1 day' END
FROM generate_series(1, 3000) AS n
"""
REMOVED = re.compile(r"Rows Removed by \S+(?: Recheck)?: (\d+)")
STATEMENTS = (
    "SELECT * FROM sweep_rows($1, 30, 100, NULL, 0)",
    "SELECT * FROM overdue($1, 30)",
    "SELECT receive_retention($1, 30)",
    "SELECT sweepable_tenants('00000000-0000-0000-0000-000000000000', 10) WHERE $1 IS NOT NULL",
)


@pytest.mark.parametrize("statement", STATEMENTS)
async def test_sessions_that_stay_are_not_read(scene: Scene, statement: str) -> None:
    alice = await a_policy(scene)
    await scene.general.execute(MANY, alice.tenant_id, alice.user_id)
    await an_old_session(scene, alice)
    await scene.general.execute("ANALYZE")
    plans: list[str] = []
    scene.general.add_log_listener(lambda _, log: plans.append(str(log)))
    await scene.general.execute(WRITTEN_DOWN)
    await scene.general.fetch(statement.replace("$1 IS", "$1::uuid IS"), alice.tenant_id)
    text = "\n".join(plans)
    scans = [line for line in text.splitlines() if " on chat_sessions s" in line]
    assert scans or statement == STATEMENTS[2]  # which finds no tally, and looks no further
    assert not [line for line in scans if "Seq Scan" in line]
    read = [*re.findall(r"actual .*?rows=(\d+)", "\n".join(scans)), *REMOVED.findall(text)]
    assert all(int(rows) <= 10 for rows in read), text


LONG, BATCH = 2000, 20
SWEEP = "SELECT taken, sessions, last_position FROM sweep_rows($1, 30, $2, $3, $4)"
READ = (
    "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'idx_messages_session_id'"
)


async def test_a_long_conversation_is_read_once_while_it_is_emptied(scene: Scene) -> None:
    """Its entries are dead only after COMMIT: each statement would read those of all before it."""
    alice = await a_policy(scene)
    await an_old_session(scene, alice, texts=LONG)
    await scene.general.execute("ANALYZE")
    before = await entries_read(scene)
    async with scene.general.transaction():
        batch: dict[str, Any] = {"taken": None, "sessions": 0, "last_position": 0}
        while not batch["sessions"]:
            begun = batch["taken"], batch["last_position"]
            (row,) = await scene.general.fetch(SWEEP, alice.tenant_id, BATCH, *begun)
            batch = dict(row)
    assert await entries_read(scene) - before < 10 * LONG


async def entries_read(scene: Scene) -> int:
    await scene.general.execute("SELECT pg_stat_force_next_flush()")
    return int(await scene.general.fetchval(READ))
