"""Erasures are listed in the order of the database's clock; ids are another's."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.bridge.erasure.service import ErasureRepository
from app.databases.connection import TenantConnection, set_tenant
from app.databases.sessions import UserSession
from app.http.paging import Place, cursor_of
from tests.support.factories import Someone, World
from tests.support.logins import superuser
from tests.support.pages import items
from tests.support.plans import explained, waste
from tests.support.servers import Servers

MANY = 10_000
TURNS = 7  # PostgreSQL considers the generic plan from the sixth
# The ids stay; the times run the other way.
TURN_ROUND = """
UPDATE subject_ledger SET changed_at = timestamptz '2026-01-01' - (changed_at - '2026-01-01')
"""
ALL_AT_ONCE = "UPDATE subject_ledger SET changed_at = '2026-01-01'"
FILL = """
INSERT INTO subject_ledger (tenant_id, user_id, state, changed_at)
SELECT CASE n % 20 WHEN 0 THEN $1 ELSE gen_random_uuid() END, gen_random_uuid(),
       CASE n % 2 WHEN 0 THEN 'deleted' ELSE 'present' END, now() - n * interval '1 hour'
FROM generate_series(1, $2::int) AS n
"""


@pytest.fixture
async def sql(servers: Servers, database: str) -> AsyncGenerator[asyncpg.Connection]:
    async with superuser(servers.user.url(database)) as connection:
        yield connection


async def deleted(world: World, count: int) -> list[UUID]:
    boss = await world.tenant_admin()
    members = [await world.member() for _ in range(count)]
    for member in members:
        assert (await boss.http.delete(f"/v1/users/{member.id}")).status_code == 202
    return [member.id for member in members]


async def ids(who: Someone, **query: Any) -> list[UUID]:
    return [UUID(one["user_id"]) async for one in items(who.http, "/v1/erasures", **query)]


async def readers(world: World) -> list[tuple[Someone, dict[str, Any]]]:
    """A tenant's administrator, and the platform's, of all tenants and of that one."""
    boss, root = await world.tenant_admin(), await world.admin()
    return [(boss, {}), (root, {}), (root, {"tenant_id": str(boss.tenant_id)})]


async def test_they_go_by_the_time_of_deletion(world: World, sql: asyncpg.Connection) -> None:
    oldest_first = await deleted(world, 5)
    for who, query in await readers(world):
        assert await ids(who, **query) == oldest_first
    await sql.execute(TURN_ROUND)
    for who, query in await readers(world):
        assert await ids(who, **query) == oldest_first[::-1]


async def test_those_of_one_commit_go_by_their_ids(world: World, sql: asyncpg.Connection) -> None:
    """All users of a tenant that is deleted are, and they take more than one page."""
    expected = sorted(await deleted(world, 5))
    await sql.execute(ALL_AT_ONCE)
    for who, query in await readers(world):
        assert await ids(who, **query) == expected


async def test_a_cursor_from_before_goes_on(world: World, sql: asyncpg.Connection) -> None:
    """It holds an id alone; that of somebody unknown stands for the time in it."""
    oldest_first = await deleted(world, 5)
    await sql.execute(TURN_ROUND)
    after = cursor_of(Place(None, oldest_first[2]))
    unknown = cursor_of(Place(None, UUID(int=oldest_first[2].int + 1)))
    for who, query in await readers(world):
        assert await ids(who, after=after, **query) == oldest_first[1::-1]
        assert await ids(who, after=unknown, **query) == []
        for first_of_all in ("A" * 22, "A" * 31):
            assert await ids(who, after=first_of_all, **query) == oldest_first[::-1]


@pytest.mark.parametrize(
    "after", [None, Place(datetime.now(UTC) - timedelta(hours=MANY // 2), uuid4())]
)
async def test_a_page_reads_no_row_before_its_place(
    servers: Servers, database: str, sql: asyncpg.Connection, after: Place | None
) -> None:
    tenant_id = uuid4()
    await sql.execute(FILL, tenant_id, MANY)
    await sql.execute("ANALYZE")
    for index in ("idx_subject_ledger_deleted", "idx_subject_ledger_changed_at"):
        plans = await plans_of(servers.user.url(database), index, tenant_id, after)
        assert "\n".join(plans).count(f"using {index} on") == TURNS
        assert waste(plans) == []


async def plans_of(url: str, index: str, tenant_id: UUID, after: Place | None) -> list[str]:
    engine = create_async_engine(
        url.replace("postgresql://", "postgresql+asyncpg://"),
        poolclass=NullPool,
        connect_args={"connection_class": TenantConnection},
    )
    async with UserSession(engine) as session:
        raw = await (await session.connection()).get_raw_connection()
        plans = await explained(raw.driver_connection)
        await session.execute(text(set_tenant(tenant_id)))
        erasures = ErasureRepository(session)
        for _ in range(TURNS):
            if index == "idx_subject_ledger_deleted":
                page = await erasures.page(tenant_id, rows=11, after=after)
            else:
                page = await erasures.page_of_all_tenants(rows=11, after=after)
            assert len(page) == 11
    await engine.dispose()
    return plans
