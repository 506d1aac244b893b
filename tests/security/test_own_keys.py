"""Functions on keys, tokens and events take no other tenant's in a session of a tenant.

Operators' commands call the same functions in no tenant. Each call about another tenant stands
beside the same one about the own, which works.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

import asyncpg
import pytest

from tests.support.callers import Account, Callers
from tests.support.servers import Servers

# What the service may call with a tenant, or for all.
CALLS = {
    "keep_wrapped_key": "keep_wrapped_key({tenant}, {user}, gen_random_uuid(), 'm', 'x', false)",
    "rewrap_key": "rewrap_key({tenant}, {user}, {user}, 'w', 'm', 'another')",
    "drop_wrapped_key": "drop_wrapped_key({tenant}, {user}, {user})",
    "note_sealed": "note_sealed({tenant}, {user}, {user})",
    "wrapped_key_of": "wrapped_key_of({tenant}, {user})",
    "exported_audit_events": "exported_audit_events({tenant}, NULL, 100)",
    # These two mend what reconcile finds, and take no call in no tenant.
    "mend_ledger": "mend_ledger({tenant}, {user}, 'deleted')",
    "mend_hold": "mend_hold({tenant}, {user}, 7)",
}
OF_ALL = {
    "wrapped_keys_page": "wrapped_keys_page({nobody}, {nobody}, 100, NULL)",
    "exported_audit_events": "exported_audit_events(NULL, NULL, 100)",
    "end_tokens": "end_tokens(100)",
}
WITH_TENANT = """
SELECT proname FROM pg_proc
WHERE pronamespace = 'public'::regnamespace AND prosecdef AND 'tenant' = ANY (proargnames)
AND prorettype <> 'trigger'::regtype AND has_function_privilege('bicameral_app', oid, 'EXECUTE')
"""
# Looked up by name, or the relay's, which has no login of its own here.
OF_THE_RELAY = """
acknowledge_erasure acknowledge_erasures acknowledge_hold outrun_hold postpone_erasure
release_erasure release_erasures renew_erasure renew_erasures retention_policy
seconds_since_deletion settle_erasures
"""
ELSEWHERE = {"tenant_named", *OF_THE_RELAY.split()}
# Whatever a call could have changed.
STATE = """
SELECT (SELECT jsonb_agg(w ORDER BY w.id) FROM wrapped_keys w WHERE w.tenant_id = $1),
       (SELECT jsonb_agg(l ORDER BY l.user_id) FROM subject_ledger l WHERE l.tenant_id = $1),
       (SELECT count(*) FROM access_tokens t WHERE t.tenant_id = $1),
       (SELECT count(*) FROM users u WHERE u.tenant_id = $1)
"""
NOBODY = "'00000000-0000-0000-0000-000000000000'"


SEALING = "UPDATE sealing SET is_on = {is_on}, sealed_after = now()"
KEPT = """
INSERT INTO wrapped_keys (tenant_id, user_id, id, master_id, wrapped, plain_until)
VALUES ($1, $2, $2, 'm', 'w', 'infinity')
"""
EVENT = """
INSERT INTO audit_events (tenant_id, actor_type, action, target_type, target_id)
VALUES ($1, 'operator', 'user.blocked', 'user', $2)
"""


class Two(NamedTuple):
    """Somebody of each of two tenants, and a superuser's connection."""

    own: Account
    theirs: Account
    sql: asyncpg.Connection

    async def does(self, call: str, whose: Account, tenant: Account | None) -> bool:
        """Call it as the service in a tenant, and undo it. Tell whether it did or gave anything."""
        values = {"tenant": f"'{whose.tenant_id}'", "user": f"'{whose.id}'", "nobody": NOBODY}
        transaction = self.sql.transaction()
        await transaction.start()
        try:
            await self.sql.execute(SEALING.format(is_on="drop" not in call))
            if "keep" not in call:
                await self.sql.execute(KEPT, whose.tenant_id, whose.id)
            before = await self.sql.fetchrow(STATE, whose.tenant_id)
            rows = await self._called(call.format(**values), tenant)
            after = await self.sql.fetchrow(STATE, whose.tenant_id)
            return after != before or any(str(whose.id) in str(row) for row in rows)
        except asyncpg.InsufficientPrivilegeError:
            return False
        finally:
            await transaction.rollback()

    async def _called(self, call: str, tenant: Account | None) -> list[str | None]:
        setting = tenant.tenant_id if tenant else ""
        await self.sql.execute(f"SET LOCAL app.tenant_id = '{setting}'")
        await self.sql.execute("SET LOCAL SESSION AUTHORIZATION bicameral_app")
        rows = await self.sql.fetch(f"SELECT r::text FROM {call} AS r")
        await self.sql.execute("SET LOCAL SESSION AUTHORIZATION DEFAULT")
        return [row[0] for row in rows]


@pytest.fixture
async def two(servers: Servers, shared: str, callers: Callers) -> AsyncIterator[Two]:
    own, theirs = (await callers.victim()).owner, (await callers.victim()).owner
    sql = await asyncpg.connect(servers.user.url(shared))
    await sql.execute("INSERT INTO master_keys VALUES ('m', 'proof') ON CONFLICT DO NOTHING")
    for one in (own, theirs):
        await sql.execute(EVENT, one.tenant_id, one.id)
    yield Two(own, theirs, sql)
    await sql.close()


async def test_whatever_takes_a_tenant_takes_the_sessions_own(two: Two) -> None:
    for call in CALLS.values():
        assert await two.does(call, two.own, two.own), call
        assert not await two.does(call, two.theirs, two.own), call
        assert await two.does(call, two.theirs, None) is ("mend" not in call), call


async def test_what_takes_everybody_takes_the_sessions_own(two: Two) -> None:
    for call in OF_ALL.values():
        is_export = "exported" in call
        assert await two.does(call, two.own, two.own) is not is_export, call
        assert not await two.does(call, two.theirs, two.own), call
        assert await two.does(call, two.theirs, None), call


async def test_every_function_that_takes_a_tenant_is_here(two: Two) -> None:
    names = {row[0] for row in await two.sql.fetch(WITH_TENANT)}
    assert names == CALLS.keys() | ELSEWHERE
