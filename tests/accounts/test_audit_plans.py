"""A page of audit events reads its own events and no others, however many there are.

What is asked for is older than everything else: whoever walks all events meets the others first.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.accounts.audit import Action, AuditRepository, Filter
from app.databases.connection import TenantConnection, set_tenant
from app.databases.sessions import UserSession
from tests.support.logins import superuser
from tests.support.plans import explained, waste
from tests.support.servers import Servers, run

OLD, NEW = 8_000, 12_000
TURNS, ROWS = 7, 51  # PostgreSQL considers the generic plan from the sixth turn
TENANT, ACTOR, TARGET, KEY = (uuid4() for _ in range(4))
MINE = """
INSERT INTO audit_events
    (tenant_id, actor_type, actor_id, on_behalf_of, action, target_type, target_id)
SELECT $1, CASE n % 4 WHEN 1 THEN 'api_key' ELSE 'user' END,
       CASE n % 4 WHEN 0 THEN $2 WHEN 1 THEN $4 ELSE gen_random_uuid() END,
       CASE n % 4 WHEN 1 THEN $2 END,
       CASE n % 4 WHEN 2 THEN 'user.blocked' ELSE 'user.changed' END, 'user',
       CASE n % 4 WHEN 3 THEN $3 ELSE gen_random_uuid() END
FROM generate_series(1, $5::int) AS n
"""
OTHERS = """
INSERT INTO audit_events (tenant_id, actor_type, actor_id, action, target_type, target_id)
SELECT gen_random_uuid(), 'user', gen_random_uuid(), 'login', 'user', gen_random_uuid()
FROM generate_series(1, $1::int) AS n
"""
MIDDLE = "SELECT id FROM audit_events WHERE tenant_id = $1 ORDER BY id OFFSET $2 LIMIT 1"
FILTERS = [
    *(Filter(), Filter(actor=ACTOR), Filter(target=TARGET)),
    Filter(action=Action.USER_BLOCKED),
]
Ask = Callable[[AuditRepository], Awaitable[Any]]


@pytest.fixture
async def middle(servers: Servers, database: str) -> UUID:
    """The place of an event between those that are asked for."""
    async with superuser(servers.user.url(database)) as sql:
        await sql.execute(MINE, TENANT, ACTOR, TARGET, KEY, OLD)
        await sql.execute(OTHERS, NEW)
        await sql.execute("ANALYZE audit_events")
        return await sql.fetchval(MIDDLE, TENANT, OLD // 2)


async def test_no_page_reads_events_that_it_drops(
    servers: Servers, database: str, middle: UUID
) -> None:
    """The service's login plans them, by values and generically, from the newest and the middle."""
    for before in (None, middle):
        for wanted in FILTERS:
            for ask in _pages(wanted, before):
                assert waste(await _plans(servers, database, ask)) == []


async def test_without_its_index_a_filter_is_seen_to_read_more(
    servers: Servers, database: str, middle: UUID
) -> None:
    for scope in ("", "all_"):
        await run(servers.user, f"DROP INDEX idx_audit_events_{scope}actor_id", database)
    for ask in _pages(Filter(actor=ACTOR), middle):
        assert waste(await _plans(servers, database, ask)) != []


async def test_an_index_on_the_id_alone_would_be_walked_through_everything(
    servers: Servers, database: str, middle: UUID
) -> None:
    # Beside the right one PostgreSQL takes either, as its statistics happen to be.
    await run(servers.user, "DROP INDEX idx_audit_events_actor_id", database)
    await run(servers.user, "CREATE INDEX misleading ON audit_events (id)", database)
    assert waste(await _plans(servers, database, _pages(Filter(actor=ACTOR), None)[0])) != []


async def test_an_exports_page_reads_its_own_events(
    servers: Servers, database: str, middle: UUID
) -> None:
    for after in (None, middle):
        for tenant in (None, TENANT):
            ask = _exported(tenant, after)  # by an operator's command, which is in no tenant
            assert waste(await _plans(servers, database, ask, within=None)) == []
        found = waste(await _plans(servers, database, _about(ACTOR, after)))
        # What is sorted is three pages, of which each came from an index of its own.
        assert [line for line in found if "Sort" not in line] == []


def _pages(wanted: Filter, before: UUID | None) -> list[Ask]:
    async def of_tenant(events: AuditRepository) -> Any:
        return await events.page(TENANT, wanted, rows=ROWS, before=before)

    async def of_all(events: AuditRepository) -> Any:
        return await events.page_of_all(wanted, rows=ROWS, before=before)

    return [of_tenant, of_all]


def _exported(tenant: UUID | None, after: UUID | None) -> Ask:
    async def ask(events: AuditRepository) -> Any:
        return await events.exported(tenant, rows=ROWS, after=after)

    return ask


def _about(person: UUID, after: UUID | None) -> Ask:
    async def ask(events: AuditRepository) -> Any:
        return await events.about(person, rows=ROWS, after=after)

    return ask


async def _plans(
    servers: Servers, database: str, ask: Ask, *, within: UUID | None = TENANT
) -> list[str]:
    async with _session(servers, database) as session:
        raw = await (await session.connection()).get_raw_connection()
        plans = await explained(raw.driver_connection)
        if within:
            await session.execute(text(set_tenant(within)))
        for _ in range(TURNS):
            assert len(await ask(AuditRepository(session=session))) == ROWS
    return plans


@asynccontextmanager
async def _session(servers: Servers, database: str) -> AsyncGenerator[UserSession]:
    url = servers.user.url(database).replace("postgresql://", "postgresql+asyncpg://")
    connect_args = {"connection_class": TenantConnection}
    engine = create_async_engine(url, poolclass=NullPool, connect_args=connect_args)
    try:
        async with UserSession(engine) as session:
            yield session
    finally:
        await engine.dispose()
