"""A key and its person are found along indexes, however many keys and people there are."""

from __future__ import annotations

import asyncpg

from tests.support.api_keys import a_backend
from tests.support.factories import World
from tests.support.logins import superuser
from tests.support.plans import explained, waste
from tests.support.servers import Servers

MANY = """
INSERT INTO users (id, tenant_id, username, external_id)
SELECT gen_random_uuid(), $1, '\\acme\\crowd-' || n, 'crowd-' || n FROM generate_series(1, 3000) n
"""
WRAPPED = """
WITH master AS (INSERT INTO master_keys (id, proof) VALUES ('m', '') RETURNING id)
INSERT INTO wrapped_keys (tenant_id, user_id, id, master_id, wrapped)
SELECT u.tenant_id, u.id, gen_random_uuid(), m.id, '' FROM users u, master m
"""
TENANTS = """
INSERT INTO tenants (id, name)
SELECT gen_random_uuid(), 'crowd-' || n FROM generate_series(1, 3000) n
"""
KEYS = """
INSERT INTO api_keys (tenant_id, id, name, digest, scopes)
SELECT $1, gen_random_uuid(), 'k', sha256(n::text::bytea), '["export"]'
FROM generate_series(1, 3000) n
"""


async def test_a_key_and_its_person_cost_no_row_too_many(
    world: World, servers: Servers, database: str
) -> None:
    boss, alice, gone = await world.tenant_admin(), await world.member(), await world.member()
    backend = await a_backend(world, boss, "chat:read")
    assert (await boss.http.delete(f"/v1/users/{gone.id}")).is_success
    async with superuser(servers.user.url(database)) as sql:
        digest = await sql.fetchval("SELECT digest FROM api_keys")
        await sql.execute(TENANTS)
        await sql.execute(MANY, boss.tenant_id)
        await sql.execute(KEYS, boss.tenant_id)
        await sql.execute(WRAPPED)
        await sql.execute("UPDATE users SET external_id = 'alice' WHERE id = $1", alice.id)
        await sql.execute("ANALYZE")
        plans = await explained(sql)
        asked = [(alice.id, None), (None, "alice"), (gone.id, None), (None, "gone"), (None, None)]
        found = [await _found(sql, digest, *one) for one in asked * 6]  # also by generic plans
        assert waste(plans) == []
        assert found[:5] == [
            (alice.id, "present"),
            (alice.id, "present"),
            (None, "deleted"),
            (None, None),
            (None, None),
        ]
    acting = backend.acting_for(alice.id)
    assert (await acting.get("/v1/me")).status_code == 200


async def _found(
    sql: asyncpg.Connection, digest: bytes, user_id: object, external_id: str | None
) -> tuple[object, object]:
    row = await sql.fetchrow(
        "SELECT user_id, subject_state FROM caller_of_key($1, $2, $3)",
        *(digest, user_id, external_id),
    )
    assert row is not None
    return row["user_id"], row["subject_state"]


async def test_a_person_whose_row_a_restore_has_lost_is_unknown(
    world: World, servers: Servers, database: str
) -> None:
    """The ledger still says that they are there; the key must not act for itself instead."""
    boss, alice = await world.tenant_admin(), await world.member()
    backend = await a_backend(world, boss, "chat:read", "chat:write")
    async with superuser(servers.user.url(database)) as sql:
        await sql.execute("SET session_replication_role = replica")
        await sql.execute("DELETE FROM users WHERE id = $1", alice.id)
    acting = backend.acting_for(alice.id)
    answers = [await acting.get("/v1/me"), await acting.post("/v1/chat-sessions", json={})]
    assert [answer.status_code for answer in answers] == [404, 404]
