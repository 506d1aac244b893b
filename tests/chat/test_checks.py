"""The general database itself refuses what is no message, at little cost to an INSERT."""

from __future__ import annotations

from uuid import uuid4

import asyncpg
import pytest

from app.chat.models import ROLES, STATUSES
from tests.support.logins import superuser
from tests.support.servers import Servers

WRITTEN = """
SELECT * FROM write_message($1, $2, $3, gen_random_uuid(), $4, 'Hi', NULL, NULL, $5, NULL, NULL,
                            NULL, NULL, NULL, NULL, NULL)
"""
CHECKS = """
SELECT conname, conbin::text AS parsed FROM pg_constraint
WHERE conrelid = 'messages'::regclass AND contype = 'c'
"""


async def test_a_role_or_a_status_of_no_message_is_refused(servers: Servers, database: str) -> None:
    tenant, owner, session = uuid4(), uuid4(), uuid4()
    async with superuser(servers.general.url(database)) as sql:
        begun = "INSERT INTO chat_sessions (tenant_id, id, user_id) VALUES ($1, $2, $3)"
        await sql.execute(begun, tenant, session, owner)
        for role in ROLES:
            assert await sql.fetch(WRITTEN, tenant, owner, session, role, "completed")
        for status in STATUSES:
            assert await sql.fetch(WRITTEN, tenant, owner, session, "user", status)
        for role, status in (("user\n", "completed"), ("", "completed"), ("user", "done")):
            with pytest.raises(asyncpg.CheckViolationError):
                await sql.fetch(WRITTEN, tenant, owner, session, role, status)


async def test_the_checks_compare_with_constants(servers: Servers, database: str) -> None:
    """PostgreSQL parses them at each INSERT: a list of casts is a tenth of an append."""
    async with superuser(servers.general.url(database)) as sql:
        checks = await sql.fetch(CHECKS)
    assert {one["conname"] for one in checks} == {"ck_messages_role", "ck_messages_status"}
    assert [one["conname"] for one in checks if "ARRAYEXPR" in one["parsed"]] == []
