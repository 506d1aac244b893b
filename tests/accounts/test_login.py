"""Login and its tokens: what is stored, what ends them, what a stranger can learn."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from argon2 import PasswordHasher

from tests.support import pgbouncer
from tests.support.factories import PASSWORD, Someone, World
from tests.support.logins import superuser, threads_of, try_login, world_on
from tests.support.pgbouncer import ROUND_TRIPS
from tests.support.round_trips import RoundTripCounter
from tests.support.servers import Servers, settings_for

ALICE = "\\acme\\alice"
NEW = "another quiet corner of it"
Sql = asyncpg.Connection


@pytest.fixture
async def sql(servers: Servers, database: str) -> AsyncGenerator[Sql]:
    async with superuser(servers.user.url(database)) as connection:
        yield connection


async def test_the_stored_hash_is_argon2id_with_owasps_parameters(world: World, sql: Sql) -> None:
    await world.user(ALICE)
    stored: str = await sql.fetchval("SELECT password_hash FROM users")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_of_a_token_only_the_digest_is_stored(world: World, sql: Sql) -> None:
    await world.user(ALICE)
    token, other = await world.log_in(ALICE), await world.log_in(ALICE)
    assert token != other
    assert token.startswith("bic_")
    assert len(token.removeprefix("bic_")) == 43  # 256 bits in base64
    rows = await sql.fetch("SELECT digest, t::text AS whole FROM access_tokens t")
    assert hashlib.sha256(token.encode()).digest() in [row["digest"] for row in rows]
    assert all(token.removeprefix("bic_") not in row["whole"] for row in rows)


async def test_a_hash_of_other_parameters_is_renewed_by_logging_in(world: World, sql: Sql) -> None:
    """Several that log in at once are all let in: each holds the right password."""
    await world.user(ALICE)
    weak = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    await sql.execute("UPDATE users SET password_hash = $1", weak)
    answers = await asyncio.gather(*(try_login(world, ALICE) for _ in range(5)))
    assert [answer.status_code for answer in answers] == [200] * 5
    stored: str = await sql.fetchval("SELECT password_hash FROM users")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert (await try_login(world, ALICE)).status_code == 200


@pytest.fixture
async def wired(servers: Servers, database: str) -> AsyncGenerator[tuple[World, RoundTripCounter]]:
    """A service with one connection to the user database, and the wire it goes through."""
    async with RoundTripCounter(pgbouncer.port(servers.user)).open() as wire:
        url = pgbouncer.url_at(wire.port, database)
        one: dict[str, Any] = {"db_pool_size": 1, "db_max_overflow": 0}
        async with world_on(settings_for(servers, database, database_url_user=url, **one)) as world:
            yield world, wire
            await world.databases.user.dispose()


async def test_nobody_learns_from_a_refusal_whether_a_user_is_there(
    wired: tuple[World, RoundTripCounter], sql: Sql
) -> None:
    """The same status, body, hashes and round trips for whoever may not log in."""
    world, wire = wired
    for name in ("alice", "blocked", "inactive"):
        await world.user(f"\\acme\\{name}")
    await sql.execute("UPDATE users SET is_blocked = true WHERE username LIKE '%blocked'")
    await sql.execute("UPDATE users SET is_active = false WHERE username LIKE '%inactive'")
    threads = threads_of(world)
    seen: list[Any] = []
    for name in ("warm", "nobody", "alice", "blocked", "inactive"):
        password = "not the password at all" if name == "alice" else PASSWORD
        given, trips = threads.given, wire.round_trips
        answer = await try_login(world, f"\\acme\\{name}", password)
        headers = {k: v for k, v in answer.headers.items() if k != "x-request-id"}
        costs = (threads.given - given, wire.round_trips - trips)
        seen.append((costs, answer.status_code, answer.text, headers))
    assert seen[1][:2] == ((1, ROUND_TRIPS), 401)
    assert seen[1:] == [seen[1]] * 4


async def test_a_token_is_looked_up_in_one_round_trip(
    wired: tuple[World, RoundTripCounter],
) -> None:
    world, wire = wired
    alice = await world.member()
    trips = 0
    for _ in range(2):  # the first one also prepares the statement
        trips = wire.round_trips
        assert (await alice.http.get("/v1/chat-sessions")).status_code == 200
    assert wire.round_trips - trips == ROUND_TRIPS


async def test_an_unused_token_ends_and_a_used_one_goes_on(
    servers: Servers, database: str, sql: Sql
) -> None:
    async with world_on(settings_for(servers, database, token_idle_seconds=60)) as world:
        alice = await world.member()
        used = "UPDATE access_tokens SET last_used_at = now() - $1::interval"
        for _ in range(3):
            await sql.execute(used, timedelta(seconds=50))
            assert await _status(alice) == 200
        await sql.execute(used, timedelta(seconds=61))
        assert await _status(alice) == 401


async def test_a_token_ends_at_its_absolute_end_however_much_it_is_used(
    servers: Servers, database: str, sql: Sql
) -> None:
    async with world_on(settings_for(servers, database, token_lifetime_seconds=600)) as world:
        await world.user(ALICE)
        answer = (await try_login(world, ALICE)).json()
        end = datetime.fromisoformat(answer["expires_at"])
        assert timedelta(seconds=500) < end - datetime.now(UTC) <= timedelta(seconds=600)
        http = world.with_token(answer["access_token"])
        assert (await http.get("/v1/me")).status_code == 200
        await sql.execute("UPDATE access_tokens SET expires_at = now()")
        assert (await http.get("/v1/me")).status_code == 401


async def _status(someone: Someone) -> int:
    return (await someone.http.get("/v1/me")).status_code


async def test_logging_out_ends_this_token_only(world: World) -> None:
    alice = await world.member()
    other = world.with_token(await world.log_in(alice.username))
    assert (await alice.http.post("/v1/auth/logout")).status_code == 204
    assert await _status(alice) == 401
    assert (await other.get("/v1/me")).status_code == 200


async def test_another_password_ends_the_other_tokens(world: World) -> None:
    alice = await world.member()
    other = world.with_token(await world.log_in(alice.username))
    body = {"current_password": PASSWORD, "new_password": NEW}
    assert (await alice.http.put("/v1/me/password", json=body)).status_code == 204
    assert (await other.get("/v1/me")).status_code == 401
    assert await _status(alice) == 200
    assert (await try_login(world, alice.username)).status_code == 401
    assert (await try_login(world, alice.username, NEW)).status_code == 200


@pytest.mark.parametrize("how", ["block", "inactive", "delete"])
async def test_a_user_who_is_shut_out_is_out_at_once_and_stays_out(world: World, how: str) -> None:
    alice, boss = await world.member(), await world.tenant_admin()
    url = f"/v1/users/{alice.id}"
    if how == "block":
        shut = await boss.http.post(f"{url}/block", json={"reason": "spam"})
    elif how == "inactive":
        shut = await boss.http.patch(url, json={"is_active": False})
    else:
        shut = await boss.http.delete(url)
    assert shut.is_success
    assert await _status(alice) == 401
    assert (await try_login(world, alice.username)).status_code == 401
    if how == "delete":
        return
    await boss.http.post(f"{url}/unblock")
    await boss.http.patch(url, json={"is_active": True})
    assert await _status(alice) == 401  # the old token does not come back
    assert (await try_login(world, alice.username)).status_code == 200


@pytest.mark.parametrize("what", ["is_blocked = true", "is_active = false", "password_hash = 'x'"])
async def test_a_change_committed_while_the_password_is_checked_wins(
    world: World, sql: Sql, what: str
) -> None:
    await world.user(ALICE)
    threads = threads_of(world)
    threads.hold()
    login = asyncio.create_task(try_login(world, ALICE))
    await threads.asked.wait()
    await sql.execute(f"UPDATE users SET {what}")
    threads.release()
    assert (await login).status_code == 401
    assert await sql.fetchval("SELECT count(*) FROM access_tokens") == 0


async def test_a_login_waits_for_a_block_that_is_under_way(world: World, sql: Sql) -> None:
    await world.user(ALICE)
    async with sql.transaction():
        await sql.execute("UPDATE users SET is_blocked = true")
        await sql.execute("DELETE FROM access_tokens")
        login = asyncio.create_task(try_login(world, ALICE))
        while not await sql.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
            assert not login.done()
    assert (await login).status_code == 401
    assert await sql.fetchval("SELECT count(*) FROM access_tokens") == 0


async def test_many_logins_that_wait_leave_everybody_else_alone(
    servers: Servers, database: str
) -> None:
    """Sixty queue for the threads; the next one is told to come back; others are served."""
    limits = {"password_hash_threads": 2, "password_hash_queue": 58, "login_free_attempts": 9999}
    limits["request_timeout_seconds"] = 600  # so many hashes take a busy machine long
    async with world_on(settings_for(servers, database, **limits)) as world:
        alice, root = await world.member(), await world.admin()
        threads = threads_of(world)
        threads.hold()
        logins = [asyncio.create_task(try_login(world, alice.username)) for _ in range(61)]
        done, waiting = await asyncio.wait(logins, return_when=asyncio.FIRST_COMPLETED)
        refused = [task.result() for task in done]
        assert [(r.status_code, r.headers["retry-after"]) for r in refused] == [(503, "1")]
        for someone in (alice, root):
            assert await _status(someone) == 200
            assert (await someone.http.get("/v1/chat-sessions")).status_code == 200
            assert (await someone.http.get("/health")).status_code == 200
        assert not any(task.done() for task in waiting)
        threads.release()
        lag = await _lag(waiting)
        assert {task.result().status_code for task in waiting} == {200}
    assert lag < 0.5


async def _lag(waiting: set[asyncio.Task[httpx.Response]]) -> float:
    """Measure how late the median tick comes, in units of one hash, while all those are hashed."""
    loop = asyncio.get_running_loop()
    start, late = loop.time(), list[float]()
    work = asyncio.gather(*waiting)
    while not work.done():
        before = loop.time()
        await asyncio.sleep(0.001)
        late.append(loop.time() - before - 0.001)
    one_hash = (loop.time() - start) * 2 / len(waiting)
    return sorted(late)[len(late) // 2] / one_hash
