"""The general database itself refuses what is no message, at little cost to an INSERT."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from app.chat.models import ROLES, STATUSES
from tests.support.logins import superuser
from tests.support.servers import Servers

WRITTEN = """
SELECT * FROM write_message($1, $2, $3, gen_random_uuid(), $4, 'Hi', NULL, NULL, $5, NULL, NULL,
                            NULL, NULL, NULL, $6, now() + $7)
"""
BEGUN = "INSERT INTO chat_sessions (tenant_id, id, user_id) VALUES ($1, $2, $3)"
CHECKS = """
SELECT conname, conbin::text AS parsed FROM pg_constraint
WHERE conrelid = 'messages'::regclass AND contype = 'c'
"""


async def test_a_role_or_a_status_of_no_message_is_refused(servers: Servers, database: str) -> None:
    tenant, owner, session = uuid4(), uuid4(), uuid4()
    async with superuser(servers.general.url(database)) as sql:
        await sql.execute(BEGUN, tenant, session, owner)
        for role in ROLES:
            assert await sql.fetch(WRITTEN, tenant, owner, session, role, "completed", None, None)
        for status in STATUSES:
            assert await sql.fetch(WRITTEN, tenant, owner, session, "user", status, None, None)
        for role, status in (("user\n", "completed"), ("", "completed"), ("user", "done")):
            with pytest.raises(asyncpg.CheckViolationError):
                await sql.fetch(WRITTEN, tenant, owner, session, role, status, None, None)


async def test_the_checks_compare_with_constants(servers: Servers, database: str) -> None:
    """PostgreSQL parses them at each INSERT: a list of casts is a tenth of an append."""
    async with superuser(servers.general.url(database)) as sql:
        checks = await sql.fetch(CHECKS)
    assert {one["conname"] for one in checks} == {"ck_messages_role", "ck_messages_status"}
    assert [one["conname"] for one in checks if "ARRAYEXPR" in one["parsed"]] == []


async def test_an_append_looks_at_its_owner_last(servers: Servers, database: str) -> None:
    """A key is recorded with the first sealed write; another, or a look too old, is refused."""
    tenant, owner, session, key = uuid4(), uuid4(), uuid4(), uuid4()
    soon, ago = timedelta(minutes=1), timedelta(minutes=-1)
    said = (tenant, owner, session, "user", "completed")
    async with superuser(servers.general.url(database)) as sql:
        await sql.execute(BEGUN, tenant, session, owner)
        for seal_key, after in ((None, soon), (key, soon), (key, None), (None, None)):
            assert await sql.fetch(WRITTEN, *said, seal_key, after)
        assert await sql.fetchval("SELECT key_id FROM owners") == key
        assert await _refusal(sql, *said, uuid4(), soon) == "BC041"
        assert await _refusal(sql, *said, None, ago) == "BC001"
        await sql.execute("UPDATE owners SET state = 'closed', closed_at = now()")
        assert await _refusal(sql, *said, None, soon) == "BC002"
        assert await _refusal(sql, *said, key, None) == "BC002"
        assert await sql.fetchval("SELECT count(*) FROM messages") == 4


async def _refusal(sql: asyncpg.Connection, *values: object) -> str | None:
    with pytest.raises(asyncpg.PostgresError) as refused:
        await sql.fetch(WRITTEN, *values)
    return refused.value.sqlstate
