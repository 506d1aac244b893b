"""Row level security itself: SQL as the service's login, and a handler that forgets the tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import asyncpg
import pytest
from litestar import Litestar, Router, get
from litestar.di import NamedDependency
from sqlalchemy import text

from app.databases.connection import DATABASES, DatabaseName
from app.databases.sessions import GeneralSession, UserSession
from app.http.security import signed_in
from app.server import create_app
from tests.support.callers import Callers, Victim, client_of
from tests.support.servers import Servers, alive, settings_for

COLUMNS: dict[DatabaseName, dict[str, str]] = {
    "user": {
        "tenants": "id",
        "users": "tenant_id",
        "user_blocks": "tenant_id",
        "access_tokens": "tenant_id",
        "subject_ledger": "tenant_id",
        "user_idempotency_keys": "tenant_id",
    },
    "general": {
        "chat_sessions": "tenant_id",
        "messages": "tenant_id",
        "owners": "tenant_id",
        "general_idempotency_keys": "tenant_id",
    },
}
# Neither a tenant's id, nor anything like one.
NO_TENANT = ["", " ", "x", "NULL", "*", "%", "0", str(uuid4())]
MALFORMED = "{tenant}' OR true --"
REFUSALS = (asyncpg.InsufficientPrivilegeError, asyncpg.CheckViolationError)


class Two(NamedTuple):
    """A database with the rows of two tenants, as the service's login and as the owner."""

    name: DatabaseName
    service: asyncpg.Connection
    owner: asyncpg.Connection
    mine: UUID
    theirs: UUID


@pytest.fixture(params=DATABASES)
async def two(
    request: pytest.FixtureRequest, servers: Servers, shared: str, callers: Callers
) -> AsyncIterator[Two]:
    mine, theirs = await callers.victim(), await callers.victim()
    server = getattr(servers, request.param)
    service = await asyncpg.connect(server.url(shared, "bicameral_app"))
    owner = await asyncpg.connect(server.url(shared, "bicameral_owner"))
    yield Two(request.param, service, owner, mine.owner.tenant_id, theirs.owner.tenant_id)
    await service.close()
    await owner.close()


async def _seen(connection: asyncpg.Connection, table: str, setting: str | None) -> int | None:
    """Count the rows; None when PostgreSQL refuses the setting itself."""
    try:
        async with connection.transaction():
            if setting is not None:
                await connection.execute("SELECT set_config('app.tenant_id', $1, true)", setting)
            return await connection.fetchval(f"SELECT count(*) FROM {table}")
    except asyncpg.InvalidTextRepresentationError:
        return None


async def test_without_a_tenant_there_are_no_rows(two: Two) -> None:
    for table in COLUMNS[two.name]:
        assert await _seen(two.service, table, None) == 0, table
        for setting in [*NO_TENANT, MALFORMED.format(tenant=two.mine)]:
            assert not await _seen(two.service, table, setting), (table, setting)
        # The same connection, the same rows: what was missing is the setting.
        assert await _seen(two.service, table, str(two.mine)), table


async def test_the_owner_is_bound_as_well(two: Two) -> None:
    for table in COLUMNS[two.name]:
        assert await _seen(two.owner, table, None) == 0, table
        assert await _seen(two.owner, table, str(two.mine)), table


async def test_no_row_can_be_written_into_another_tenant(two: Two) -> None:
    """A copy of an own row, theirs; an own row moved to them; then their rows, from outside."""
    for table, column in COLUMNS[two.name].items():
        copy = f"jsonb_populate_record(t, jsonb_build_object('{column}', $1::uuid))"
        insert = f"INSERT INTO {table} SELECT ({copy}).* FROM {table} t"
        move = f"UPDATE {table} SET {column} = $1"
        for statement in (insert, move):
            with pytest.raises(REFUSALS) as refused:
                await _in_tenant(two, statement)
            assert str(refused.value).startswith(_reasons(table)), statement


def _reasons(table: str) -> tuple[str, ...]:
    policy = "new row violates row-level security policy for table"
    return (policy, f"permission denied for table {table}", "a user cannot change", "an owner only")


async def test_another_tenants_rows_can_be_neither_changed_nor_deleted(two: Two) -> None:
    for table, column in COLUMNS[two.name].items():
        delete = f"DELETE FROM {table} WHERE {column} = $1"
        update = f"UPDATE {table} SET created_at = now() WHERE {column} = $1"
        for statement in (delete, update):
            assert await _in_tenant(two, statement) in (None, "DELETE 0", "UPDATE 0"), statement


async def _in_tenant(two: Two, statement: str) -> str | None:
    """None when the login lacks the privilege in the first place, or the column is not there."""
    async with two.service.transaction():
        await two.service.execute("SELECT set_config('app.tenant_id', $1, true)", str(two.mine))
        if statement.startswith(("INSERT", "UPDATE")) and "WHERE" not in statement:
            return await two.service.execute(statement, two.theirs)
        try:
            async with two.service.transaction():
                return await two.service.execute(statement, two.theirs)
        except (asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedColumnError):
            return None


def _tenants_seen(name: DatabaseName) -> str:
    queries = [f"SELECT '{t}' AS t, {column} FROM {t}" for t, column in COLUMNS[name].items()]
    return " UNION ".join(queries)


@get("/user")
async def forgetful_of_user(user_session: NamedDependency[UserSession]) -> list[list[Any]]:
    return [list(row) for row in await user_session.execute(text(_tenants_seen("user")))]


@get("/general")
async def forgetful_of_general(general_session: NamedDependency[GeneralSession]) -> list[list[Any]]:
    return [list(row) for row in await general_session.execute(text(_tenants_seen("general")))]


@pytest.fixture
async def hostile(servers: Servers, shared: str) -> AsyncIterator[Litestar]:
    """The service with a handler that asks for everything; one connection, so all share it."""
    service = create_app(settings_for(servers, shared, db_pool_size=1, db_max_overflow=0))
    service.register(
        Router(
            "/hostile",
            route_handlers=[forgetful_of_user, forgetful_of_general],
            guards=[signed_in],
        )
    )
    async with alive(service):
        yield service


@pytest.mark.parametrize("name", DATABASES)
async def test_a_handler_that_forgets_the_tenant_shows_its_own_rows_only(
    hostile: Litestar, callers: Callers, name: DatabaseName
) -> None:
    victims = [await callers.victim(), await callers.victim()]
    for victim in [*victims, *victims]:
        rows = await _ask(hostile, victim, name)
        assert {table for table, _ in rows} == set(COLUMNS[name])
        assert {tenant for _, tenant in rows} == {str(victim.owner.tenant_id)}


async def _ask(service: Litestar, victim: Victim, name: DatabaseName) -> list[list[str]]:
    async with client_of(service, victim.owner.token) as http:
        response = await http.get(f"/hostile/{name}")
    assert response.status_code == 200, response.text
    rows: list[list[str]] = response.json()
    return rows
