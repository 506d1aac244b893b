"""The user database decides by its clock: rows stand on both sides of each bound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import asyncpg
import pytest

from tests.support.factories import PASSWORD, World
from tests.support.logins import superuser, threads_of
from tests.support.servers import Servers

LAST_USED = "UPDATE access_tokens SET last_used_at = now() - make_interval(secs => $1)"
EXPIRES = "UPDATE access_tokens SET expires_at = now() + make_interval(secs => $1)"
USED_AT = "SELECT last_used_at FROM access_tokens"
IDLE_SECONDS = 86_400  # TOKEN_IDLE_SECONDS, of which a quarter is more than a minute


@pytest.fixture
async def sql(servers: Servers, database: str) -> AsyncGenerator[asyncpg.Connection]:
    async with superuser(servers.user.url(database)) as connection:
        yield connection


@pytest.mark.parametrize(("seconds", "is_written"), [(0, False), (50, False), (70, True)])
async def test_the_use_of_a_token_is_written_once_a_minute(
    world: World, sql: asyncpg.Connection, seconds: int, is_written: bool
) -> None:
    alice = await world.member()
    await sql.execute(LAST_USED, seconds)
    before = await sql.fetchval(USED_AT)
    assert (await alice.http.get("/v1/me")).status_code == 200
    assert (await sql.fetchval(USED_AT) > before) == is_written


@pytest.mark.parametrize(("seconds", "status"), [(-1, 401), (0, 401), (60, 200)])
async def test_a_token_ends_when_it_expires(
    world: World, sql: asyncpg.Connection, seconds: int, status: int
) -> None:
    alice = await world.member()
    await sql.execute(EXPIRES, seconds)
    assert (await alice.http.get("/v1/me")).status_code == status


@pytest.mark.parametrize(("left", "status"), [(-60, 401), (60, 200)])
async def test_a_token_ends_when_it_was_not_used_for_long(
    world: World, sql: asyncpg.Connection, left: int, status: int
) -> None:
    alice = await world.member()
    await sql.execute(LAST_USED, IDLE_SECONDS - left)
    assert (await alice.http.get("/v1/me")).status_code == status


async def test_a_password_that_was_changed_meanwhile_stays(
    world: World, sql: asyncpg.Connection
) -> None:
    """The one who changed it first wins, while the other's present password is being checked."""
    alice = await world.member()
    threads = threads_of(world)
    threads.hold()
    body = {"current_password": PASSWORD, "new_password": "a very different 5-word sentence"}
    changing = asyncio.create_task(alice.http.put("/v1/me/password", json=body))
    await threads.asked.wait()
    await sql.execute("UPDATE users SET password_hash = 'of somebody faster'")
    threads.release()
    answer = await changing
    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        "The password was changed meanwhile.",
    )
    assert await sql.fetchval("SELECT password_hash FROM users") == "of somebody faster"
    assert (await alice.http.get("/v1/me")).status_code == 200


async def test_a_deletion_is_dated_and_a_creation_as_well(
    world: World, sql: asyncpg.Connection
) -> None:
    """`changed_at` of the ledger is the time of the last change, and of that user's entry alone."""
    boss, alice, bob = await world.tenant_admin(), await world.member(), await world.member()
    await sql.execute("UPDATE subject_ledger SET changed_at = now() - interval '1 day'")
    deleted = await boss.http.delete(f"/v1/users/{alice.id}")
    assert deleted.status_code == 202
    fresh = "SELECT user_id FROM subject_ledger WHERE changed_at > now() - interval '1 hour'"
    assert [row[0] for row in await sql.fetch(fresh)] == [alice.id]
    carol = await world.member()
    assert {row[0] for row in await sql.fetch(fresh)} == {alice.id, carol.id}
    assert bob.id != carol.id
