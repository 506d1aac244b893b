"""The hot routes' statements under row level security: what PostgreSQL plans for them."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.accounts.tokens import CALLER_OF_TOKEN, token_digest
from app.chat.conversations import FIND
from app.chat.messages import MessageRepository, prepared
from app.chat.pages import PAGE, PAGE_BY_BYTES, PAGE_BYTES
from app.chat.repositories import ChatSessionRepository
from app.chat.schemas import NewMessage
from app.chat.session_rows import Listing
from app.commands.embedded.cluster import Server
from app.databases.connection import TenantConnection, set_tenant
from app.databases.sessions import GeneralSession
from app.databases.statement import Statement
from app.http.errors import NotFound
from app.http.paging import Place, RecentPlace
from app.http.security import Principal
from tests.support.plain import plain
from tests.support.plans import explained, waste
from tests.support.servers import Servers, run

OTHERS = 3000  # users, each in a tenant of their own with a session of a few messages
TURNS = 7  # PostgreSQL considers the generic plan from the sixth
USERS = """
WITH t AS (INSERT INTO tenants (id, name) SELECT $1, 'mine' UNION ALL
           SELECT gen_random_uuid(), 't-' || n FROM generate_series(1, $4::int) AS n
           RETURNING id, name),
u AS (INSERT INTO users (id, tenant_id, username, email, password_hash)
      SELECT CASE id WHEN $1 THEN $2 ELSE gen_random_uuid() END, id, '\\' || name || '\\u',
             name || '@example.org', 'x' FROM t RETURNING id, tenant_id)
INSERT INTO access_tokens (digest, tenant_id, user_id, expires_at)
SELECT CASE id WHEN $2 THEN $3 ELSE sha256(id::text::bytea) END, tenant_id, id,
       now() + interval '1 day' FROM u
"""
KEYS = """
INSERT INTO wrapped_keys (tenant_id, user_id, id, master_id, wrapped)
SELECT tenant_id, id, gen_random_uuid(), 'one', '' FROM users
"""
SESSIONS = """
WITH o AS (INSERT INTO owners (tenant_id, user_id) SELECT $1, $2 UNION ALL
           SELECT gen_random_uuid(), gen_random_uuid() FROM generate_series(1, $3::int)
           RETURNING tenant_id, user_id)
INSERT INTO chat_sessions (tenant_id, id, user_id, message_count)
SELECT tenant_id, user_id, user_id, CASE tenant_id WHEN $1 THEN 100 ELSE 5 END FROM o
"""
MESSAGES = """
INSERT INTO messages (tenant_id, id, session_id, position, role, content)
SELECT tenant_id, gen_random_uuid(), id, n, 'user', 'Hello'
FROM chat_sessions CROSS JOIN LATERAL generate_series(1, message_count) AS n
"""
MANY_SESSIONS = """
INSERT INTO chat_sessions (tenant_id, id, user_id, created_at, updated_at, changed_minute)
SELECT $1, gen_random_uuid(), $2, at, at, date_trunc('minute', at)
FROM generate_series(1, $3::int) AS n, LATERAL (SELECT now() - n * interval '1 hour') AS of (at)
"""


SAID = [NewMessage("user", "Hi")]


async def test_no_plan_reads_rows_that_it_drops(servers: Servers, database: str) -> None:
    """The service's login plans them, under row level security, by values and generically."""
    one = Principal(uuid4(), uuid4(), "\\mine\\u", frozenset(), token_digest("token"))
    await _filled(servers, database, one)
    key = {"tenant_id": one.tenant_id, "user_id": one.user_id, "session_id": one.user_id}
    page = key | {"after": 90, "rows": 51, "bytes": PAGE_BYTES}
    token = {"digest": one.token_digest, "idle": timedelta(hours=1)}
    assert await _wasted(servers.user, database, CALLER_OF_TOKEN, [token]) == []
    for newest in (True, False):
        turns = [page | {"newest": newest}]
        for statement in (PAGE, PAGE_BY_BYTES):
            assert await _wasted(servers.general, database, statement, turns) == []
    assert await _wasted(servers.general, database, FIND, [key]) == []
    for messages in (SAID, SAID * 3, [replace(SAID[0], client_id="a")]):
        append, turns = await _appends(one, messages)
        assert await _wasted(servers.general, database, append, turns) == []
    await run(servers.general, "DROP INDEX idx_messages_session_id", database)  # the control
    for statement in (PAGE, PAGE_BY_BYTES):
        turns = [page | {"newest": True}]
        assert await _wasted(servers.general, database, statement, turns) != []


async def test_a_page_of_sessions_reads_only_its_own(servers: Servers, database: str) -> None:
    """A page begins at the newest, or at a place in the middle."""
    one = Principal(uuid4(), uuid4(), "\\mine\\u", frozenset())
    await _filled(servers, database, one)
    at = datetime.now(UTC) - timedelta(hours=OTHERS // 2)
    async with _session(servers, database, one) as (session, plans):
        for after in (None, Place(at, uuid4())):
            await _paged(session, one, Listing(), after)
        assert _scans(plans, "idx_chat_sessions_user_id on") == 2 * TURNS
        assert waste(plans) == []
        plans.clear()
        for after in (None, RecentPlace(at.replace(second=0, microsecond=0), at, uuid4())):
            await _paged(session, one, Listing(is_recent=True), after)
        assert _scans(plans, "idx_chat_sessions_changed_minute on") == 2 * TURNS
        # What is sorted, and what is read beyond the page, is of one minute.
        read = re.findall(r"actual .*rows=(\d+)", "\n".join(plans))
        assert max(map(int, read)) <= 53
        lines = waste(plans)
        assert all("Sort" in line or line.endswith("Removed by Filter: 1") for line in lines)
        assert sum("Sort Key" in line for line in lines) == 2 * TURNS


def _scans(plans: list[str], index: str) -> int:
    return "\n".join(plans).count(f"using {index}")


async def _paged(
    session: GeneralSession, one: Principal, listing: Listing, after: Place | RecentPlace | None
) -> None:
    for _ in range(TURNS):
        repository = ChatSessionRepository(session, one, plain())
        assert len(await repository.page(listing, rows=51, after=after)) == 51
    await session.execute(text("SELECT 1"))  # the plan of the last page comes before its answer


@asynccontextmanager
async def _session(
    servers: Servers, database: str, one: Principal
) -> AsyncGenerator[tuple[GeneralSession, list[str]]]:
    """Give a session of the service's login in the tenant, and the plans of its statements."""
    url = servers.general.url(database).replace("postgresql://", "postgresql+asyncpg://")
    connect_args = {"connection_class": TenantConnection}
    engine = create_async_engine(url, poolclass=NullPool, connect_args=connect_args)
    async with GeneralSession(engine) as session:
        raw = await (await session.connection()).get_raw_connection()
        plans = await explained(raw.driver_connection)
        await session.execute(text(set_tenant(one.tenant_id)))
        yield session, plans
    await engine.dispose()


async def _appends(
    one: Principal, messages: list[NewMessage]
) -> tuple[Statement, list[dict[str, Any]]]:
    """Give what the repository sends for the messages, turn by turn."""
    sent: list[tuple[Statement, Any]] = []

    async def note(statement: Statement, values: Any) -> list[Any]:
        sent.append((statement, values))
        return []

    repository = MessageRepository(note, one, one.user_id, plain())
    for _ in range(TURNS):
        with suppress(NotFound):  # no row comes back
            await repository.append([prepared(one) for one in messages])
    deadline = datetime.now(UTC) + timedelta(hours=1)
    return sent[0][0], [{**values, "not_after": deadline} for _, values in sent]


async def _wasted(
    server: Server, database: str, statement: Statement, turns: list[dict[str, Any]]
) -> list[str]:
    """Lines of the plans, the functions' own statements' too, that tell of work for nothing."""
    connection = await asyncpg.connect(server.url(database))
    await connection.prepare(statement.sql)  # the driver then asks for the types it meets
    plans = await explained(connection)
    for values in (turns * TURNS)[:TURNS]:
        assert await connection.fetch(statement.sql, *statement.in_order(values))
    await connection.close()
    return waste(plans)


async def _filled(servers: Servers, database: str, one: Principal) -> None:
    user = await asyncpg.connect(servers.user.url(database))
    general = await asyncpg.connect(servers.general.url(database))
    await user.execute(USERS, one.tenant_id, one.user_id, one.token_digest, OTHERS)
    await user.execute("INSERT INTO master_keys (id, proof) VALUES ('one', '')")
    await user.execute(KEYS)
    await general.execute(SESSIONS, one.tenant_id, one.user_id, OTHERS)
    await general.execute(MESSAGES)
    await general.execute(MANY_SESSIONS, one.tenant_id, one.user_id, OTHERS)
    for connection in (user, general):
        await connection.execute("ANALYZE")
        await connection.close()
