"""Users and tenants are listed in the order of the database's clock; ids are another's."""

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

from app.accounts.repositories import TenantRepository, UserRepository
from app.databases.connection import TenantConnection, set_tenant
from app.databases.sessions import UserSession
from app.http.paging import Place, cursor_of
from tests.support.factories import Someone, World
from tests.support.logins import superuser
from tests.support.pages import items
from tests.support.plans import explained, waste
from tests.support.servers import Servers

MANY = 2000
TURNS = 7  # PostgreSQL considers the generic plan from the sixth
# The ids stay; the times run the other way.
TURN_ROUND = (
    "UPDATE {table} SET created_at = timestamptz '2026-01-01' - (created_at - '2026-01-01')"
)
SHIFT = "UPDATE {table} SET created_at = created_at + interval '{shift}'"
FILL = """
WITH t AS (INSERT INTO tenants (id, name, created_at)
           SELECT gen_random_uuid(), 't-' || n, now() - n * interval '1 hour'
           FROM generate_series(1, $2::int) AS n RETURNING id, name),
others AS (INSERT INTO users (id, tenant_id, username, email, password_hash)
           SELECT gen_random_uuid(), id, '\\' || name || '\\u', name || '@example.org', 'x' FROM t)
INSERT INTO users (id, tenant_id, username, email, password_hash, created_at)
SELECT gen_random_uuid(), $1, '\\acme\\u-' || n, n || '@example.com', 'x',
       now() - n * interval '1 hour'
FROM generate_series(1, $2::int) AS n
"""


@pytest.fixture
async def sql(servers: Servers, database: str) -> AsyncGenerator[asyncpg.Connection]:
    async with superuser(servers.user.url(database)) as connection:
        yield connection


async def ids(who: Someone, path: str, **query: Any) -> list[str]:
    return [one["id"] async for one in items(who.http, path, **query)]


async def test_lists_go_by_the_databases_clock(world: World, sql: asyncpg.Connection) -> None:
    boss, root = await world.tenant_admin(), await world.admin()
    for _ in range(3):
        await world.member()
        await world.tenant()
    for table in ("users", "tenants"):
        await sql.execute(TURN_ROUND.format(table=table))
    newest_id_first = [str(row[0]) for row in await sql.fetch("SELECT id FROM users ORDER BY 1")]
    newest_id_first.reverse()
    assert await ids(root, "/v1/users") == newest_id_first
    assert await ids(boss, "/v1/users") == [one for one in newest_id_first if one != str(root.id)]
    tenants = [str(row[0]) for row in await sql.fetch("SELECT id FROM tenants ORDER BY 1 DESC")]
    assert await ids(root, "/v1/tenants") == tenants


async def test_a_cursor_from_before_lists_were_ordered_by_time_goes_on(
    world: World, sql: asyncpg.Connection
) -> None:
    """It holds an id alone, which may belong to somebody who has been deleted since."""
    boss, root = await world.tenant_admin(), await world.admin()
    members = [await world.member() for _ in range(3)]
    tenants = [await world.tenant() for _ in range(3)]
    names = await sql.fetch("SELECT id, name FROM tenants")
    tenant_ids = [next(row["id"] for row in names if row["name"] == name) for name in tenants]
    for gone in (False, True):
        for table in ("users", "tenants"):  # not the times in their ids
            await sql.execute(SHIFT.format(table=table, shift="-1 hour" if gone else "1 hour"))
        if gone:
            await sql.execute("DELETE FROM users WHERE id = $1", members[1].id)
            await sql.execute("DELETE FROM tenants WHERE id = $1", tenant_ids[1])
        for who in (boss, root):
            rest = await ids(who, "/v1/users", after=cursor_of(Place(None, members[1].id)))
            assert rest == [str(members[2].id)], (gone, who.username)
        rest = await ids(root, "/v1/tenants", after=cursor_of(Place(None, tenant_ids[1])))
        assert rest == [str(tenant_ids[2])], gone


async def test_any_cursor_of_the_right_form_is_a_place(world: World) -> None:
    """The first of all times and the last that a cursor can name."""
    boss, root = await world.tenant_admin(), await world.admin()
    for after, is_first in (("A" * 31, 1), ("_" * 30 + "8", 0), ("A" * 22, 1), ("_" * 21 + "w", 0)):
        for who, path in ((boss, "/v1/users"), (root, "/v1/users"), (root, "/v1/tenants")):
            answer = await who.http.get(path, params={"after": after})
            assert answer.status_code == 200, answer.text
            assert bool(answer.json()["items"]) == bool(is_first), (after, path)


async def test_a_page_reads_no_row_before_its_place(
    world: World, servers: Servers, database: str, sql: asyncpg.Connection
) -> None:
    boss = await world.tenant_admin()
    await sql.execute(FILL, boss.tenant_id, MANY)
    await sql.execute("ANALYZE")
    middle = Place(datetime.now(UTC) - timedelta(hours=MANY // 2), uuid4())
    for after in (None, middle):
        for index, page in PAGES.items():
            plans = await plans_of(servers.user.url(database), boss.tenant_id, page, after)
            assert "\n".join(plans).count(f"using {index} on") == TURNS
            assert waste(plans) == []


async def _of_tenant(session: UserSession, tenant_id: UUID, after: Place | None) -> int:
    return len(await UserRepository(session).page(tenant_id, rows=51, after=after))


async def _of_all(session: UserSession, _: UUID, after: Place | None) -> int:
    return len(await UserRepository(session).page_of_all(rows=51, after=after))


async def _of_tenants(session: UserSession, _: UUID, after: Place | None) -> int:
    return len(await TenantRepository(session).page(rows=51, after=after))


PAGES = {
    "idx_users_tenant_id": _of_tenant,
    "idx_users_created_at": _of_all,
    "idx_tenants_created_at": _of_tenants,
}


async def plans_of(url: str, tenant_id: UUID, page: Any, after: Place | None) -> list[str]:
    engine = create_async_engine(
        url.replace("postgresql://", "postgresql+asyncpg://"),
        poolclass=NullPool,
        connect_args={"connection_class": TenantConnection},
    )
    async with UserSession(engine) as session:
        raw = await (await session.connection()).get_raw_connection()
        plans = await explained(raw.driver_connection)
        await session.execute(text(set_tenant(tenant_id)))
        for _ in range(TURNS):
            assert await page(session, tenant_id, after) == 51
    await engine.dispose()
    return plans
