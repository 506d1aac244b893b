"""A sweep reads the sessions that are due and no others, however many a tenant has."""

from __future__ import annotations

import re

import pytest

from tests.support.erasure_scene import Scene
from tests.support.retention_scene import a_policy, an_old_session

MANY = """
INSERT INTO chat_sessions (tenant_id, id, user_id, expires_at)
SELECT $1, gen_random_uuid(), $2, CASE WHEN n % 2 = 0 THEN now() + interval '1 day' END
FROM generate_series(1, 3000) AS n
"""
EXPLAINED = """
LOAD 'auto_explain';
SET auto_explain.log_min_duration = 0;
SET auto_explain.log_nested_statements = on;
SET auto_explain.log_analyze = on;
SET client_min_messages = log;
"""
REMOVED = re.compile(r"Rows Removed by \S+(?: Recheck)?: (\d+)")
STATEMENTS = (
    "SELECT * FROM sweep_sessions($1, 30, 100, NULL)",
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
    await scene.general.execute(EXPLAINED)
    await scene.general.fetch(statement.replace("$1 IS", "$1::uuid IS"), alice.tenant_id)
    text = "\n".join(plans)
    scans = [line for line in text.splitlines() if " on chat_sessions s" in line]
    assert scans or statement == STATEMENTS[2]  # which finds no tally, and looks no further
    assert not [line for line in scans if "Seq Scan" in line]
    read = [*re.findall(r"actual .*?rows=(\d+)", "\n".join(scans)), *REMOVED.findall(text)]
    assert all(int(rows) <= 10 for rows in read), text
