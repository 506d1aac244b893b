"""Conversations from before there was recent order get their minute while others are changed."""

from __future__ import annotations

import asyncio
from importlib import import_module
from uuid import uuid4

from alembic import command

from app.config.settings import Settings
from tests.support.logins import superuser
from tests.support.migrations import configured
from tests.support.servers import Servers

BEFORE = """
INSERT INTO chat_sessions (tenant_id, id, user_id, updated_at)
SELECT CASE n % 2 WHEN 0 THEN $1::uuid ELSE $2 END, gen_random_uuid(), $3::uuid,
       now() - n * interval '1 hour'
FROM generate_series(1, 2500) AS n
"""
UNTRUE = """
SELECT count(*) FROM chat_sessions WHERE changed_minute <> date_trunc('minute', updated_at)
"""
TIMES = "SELECT id, updated_at FROM chat_sessions ORDER BY id"
CHANGED_MINUTE = import_module("migrations.general.20261126_g0031_changed_minute")
POLICIES = "SELECT count(*) FROM pg_policies WHERE policyname = 'filling'"


async def to(settings: Settings, revision: str) -> None:
    await asyncio.to_thread(command.upgrade, configured(settings, "general"), revision)


async def test_rows_of_before_get_their_minute_and_nothing_else_changes(
    empty: Settings, servers: Servers
) -> None:
    """A row that somebody holds meanwhile is passed by, and nobody waits."""
    await to(empty, "g0015")
    url = servers.general.url(empty.url("general").database)
    async with superuser(url) as sql, superuser(url) as other:
        await sql.execute(BEFORE, uuid4(), uuid4(), uuid4())
        before = await sql.fetch(TIMES)
        await to(empty, "g0030")
        assert await sql.fetchval(UNTRUE) == len(before)
        async with other.transaction():
            await other.execute("SELECT FROM chat_sessions ORDER BY tenant_id LIMIT 1 FOR UPDATE")
            await sql.execute(CHANGED_MINUTE.FILL)
        assert await sql.fetchval(UNTRUE) == 1
        await sql.execute("UPDATE chat_sessions SET changed_minute = now()")
        await to(empty, "g0031")
        assert await sql.fetchval(UNTRUE) == 0
        assert await sql.fetchval(POLICIES) == 0
        assert await sql.fetch(TIMES) == before
        await asyncio.to_thread(command.downgrade, configured(empty, "general"), "g0029")
        await to(empty, "head")
