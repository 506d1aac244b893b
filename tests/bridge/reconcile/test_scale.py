"""Reconcile on a million owners per database: how long, and how much memory. Prints figures."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Sequence

import pytest

from app.bridge.reconcile.differences import Difference, Kind
from tests.support.differences import past_all_guards, reconciler
from tests.support.erasure_scene import Scene

OWNERS = int(os.environ.get("SOAK_OWNERS", "1000000"))
DELETED = OWNERS // 10
# The same on both servers: tenants of a thousand, every tenth user deleted and erased.
TENANT = "md5('tenant' || n / 1000)::uuid"
USER = "md5('user' || n)::uuid"
NUMBERS = f"generate_series(1, {OWNERS}) AS n"
LEDGER = f"""
INSERT INTO subject_ledger (tenant_id, user_id, state, rev, delivered_rev, receipt)
SELECT {TENANT}, {USER}, CASE n % 10 WHEN 0 THEN 'deleted' ELSE 'present' END, 2, 2,
       CASE n % 10 WHEN 0 THEN encode(sha256(n::text::bytea), 'hex') END
FROM {NUMBERS}
"""
TENANTS = f"""
INSERT INTO tenants (id, name) SELECT DISTINCT {TENANT}, md5('tenant' || n / 1000) FROM {NUMBERS}
"""
USERS = f"""
INSERT INTO users (id, tenant_id, username, email, password_hash)
SELECT {USER}, {TENANT}, format('\\%s\\%s', md5('tenant' || n / 1000), n), n || '@t', 'x'
FROM {NUMBERS} WHERE n % 10 <> 0
"""
MADE = f"""
INSERT INTO owners (tenant_id, user_id, state, closed_at)
SELECT {TENANT}, {USER}, CASE n % 10 WHEN 0 THEN 'erased' ELSE 'open' END, now() FROM {NUMBERS}
"""
RECEIPTS = f"""
INSERT INTO erasure_receipts (tenant_id, user_id, seq, chat_sessions, messages, remaining,
                              finished_at, prev_hash, hash)
SELECT {TENANT}, {USER}, n / 10, 0, 0, 0, now(), '', encode(sha256(n::text::bytea), 'hex')
FROM {NUMBERS} WHERE n % 10 = 0
"""
SESSIONS = f"""
INSERT INTO chat_sessions (tenant_id, id, user_id, message_count)
SELECT {TENANT}, {USER}, {USER}, 2 FROM {NUMBERS} WHERE n % 10 <> 0
"""
MESSAGES = f"""
INSERT INTO messages (tenant_id, id, session_id, position, role, content)
SELECT {TENANT}, gen_random_uuid(), {USER}, position, 'user', 'Hello'
FROM {NUMBERS}, generate_series(1, 2) AS position WHERE n % 10 <> 0
"""
# The chain as append_receipt makes it, each from the one before.
CHAIN = """
DO $$
DECLARE
    one record;
    before varchar := repeat('0', 64);
BEGIN
    FOR one IN SELECT * FROM erasure_receipts ORDER BY seq LOOP
        UPDATE erasure_receipts SET prev_hash = before, hash =
            encode(sha256(convert_to(concat_ws('|', 'bicameral-receipt-1', seq, tenant_id, user_id,
                chat_sessions, messages,
                to_char(finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                before), 'UTF8')), 'hex')
        WHERE tenant_id = one.tenant_id AND user_id = one.user_id RETURNING hash INTO before;
    END LOOP;
END $$
"""
HASHES = "SELECT user_id, hash FROM erasure_receipts"
ACKNOWLEDGED = """
UPDATE subject_ledger l SET receipt = h.hash
FROM unnest($1::uuid[], $2::text[]) AS h (user_id, hash) WHERE l.user_id = h.user_id
"""


@pytest.mark.soak
async def test_a_million_owners_are_compared(scene: Scene) -> None:
    await load(scene)
    assert await timed(scene, "all agree, digests alone") == frozenset()
    await make_silent_users(scene)
    assert await timed(scene, "every bucket has a user who never talked") == frozenset()
    thousand = await lose_a_thousand(scene)
    found = await timed(scene, "a thousand owners lost their receipts")
    assert len(found) >= thousand
    assert {one.kind for one in found} <= {Kind.ERASURE_LOST, Kind.CHAIN_BROKEN}


async def load(scene: Scene) -> None:
    async with past_all_guards(scene.user), past_all_guards(scene.general):
        await executed(scene, "user", (LEDGER, TENANTS, USERS))
        await executed(scene, "general", (MADE, RECEIPTS, SESSIONS, MESSAGES, CHAIN))
        rows = await scene.general.fetch(HASHES)
        await scene.user.execute(ACKNOWLEDGED, *map(list, zip(*rows, strict=True)))
    await executed(scene, "user", ("VACUUM ANALYZE",))
    await executed(scene, "general", ("VACUUM ANALYZE",))


async def executed(scene: Scene, name: str, statements: Sequence[str]) -> None:
    for statement in statements:
        await getattr(scene, name).execute(statement, timeout=600)


async def make_silent_users(scene: Scene) -> None:
    """A tenth of the living, spread over all buckets."""
    async with past_all_guards(scene.general):
        for table in ("messages", "chat_sessions", "owners"):
            column = "session_id" if table == "messages" else "user_id"
            gone = "AND state = 'open'" if table == "owners" else ""
            statement = f"DELETE FROM {table} WHERE get_byte(uuid_send({column}), 0) < 26 {gone}"
            await scene.general.execute(statement, timeout=600)


async def lose_a_thousand(scene: Scene) -> int:
    async with past_all_guards(scene.general):
        statement = "DELETE FROM erasure_receipts WHERE seq % $1 = 1"
        done = await scene.general.execute(statement, max(1, DELETED // 1000))
    return int(done.split()[1])


async def timed(scene: Scene, what: str) -> frozenset[Difference]:
    """The clock first, then once more for the memory: watching that takes time."""
    stages: list[tuple[float, str]] = []
    started = time.perf_counter()

    async def watch(stage: str, _: int, __: int) -> None:
        if stage != "between" and (not stages or stages[-1][1] != stage):
            stages.append((round(time.perf_counter() - started, 1), stage))

    found = await reconciler(scene, watch=watch).find()
    seconds = time.perf_counter() - started
    tracemalloc.start()
    assert await reconciler(scene).find() == found
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    print(f"\n{OWNERS} owners, {what}: {seconds:.1f} s, {peak:.0f} MiB; {stages}")  # noqa: T201
    return found
