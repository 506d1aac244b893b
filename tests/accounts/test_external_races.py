"""Many put, create and delete one person at once: there is one of them, or none, never half."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Coroutine, Sequence
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from tests.support.api_keys import Backend, a_backend, path_of
from tests.support.factories import World
from tests.support.locks import until_waiting
from tests.support.logins import superuser
from tests.support.servers import Servers

MANY = 50
KNOWN = "SELECT id FROM users WHERE external_id = $1"
TAKE_ADDRESS = """
INSERT INTO users (id, tenant_id, username, email)
VALUES (gen_random_uuid(), $1, '\\acme\\other', 'newcomer@example.org')
"""
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


@pytest.fixture
async def sql(servers: Servers, database: str) -> AsyncGenerator[asyncpg.Connection]:
    async with superuser(servers.user.url(database)) as connection:
        yield connection


async def put(backend: Backend, external_id: str, **body: Any) -> httpx.Response:
    return await backend.http.put(path_of(external_id), json=body)


async def post(backend: Backend, external_id: str, **body: Any) -> httpx.Response:
    return await backend.http.post("/v1/users", json={"external_id": external_id, **body})


async def at_once(
    calls: Sequence[Coroutine[Any, Any, httpx.Response]],
) -> tuple[Counter[int], list[dict[str, Any]]]:
    """Count the statuses; and give whom the successes tell of."""
    answers = await asyncio.gather(*calls)
    statuses = Counter(answer.status_code for answer in answers)
    return statuses, [answer.json() for answer in answers if answer.is_success]


async def test_fifty_at_once_make_one_person(world: World, sql: asyncpg.Connection) -> None:
    backend = await a_backend(world, await world.tenant_admin())
    for external_id, names in (("a", ["alice"] * MANY), ("b", [f"b-{n}" for n in range(MANY)])):
        statuses, users = await at_once([put(backend, external_id, username=n) for n in names])
        assert statuses == {201: 1, 200: MANY - 1}
        assert {user["id"] for user in users} == {
            str(row["id"]) for row in await sql.fetch(KNOWN, external_id)
        }
        present = (await backend.http.get(path_of(external_id))).json()
        assert present["username"] in {f"\\acme\\{name}" for name in names}
        assert present in users
    assert await sql.fetchval(DEADLOCKS) == 0


async def test_put_finds_whom_a_post_is_about_to_make(
    world: World, sql: asyncpg.Connection
) -> None:
    boss = await world.tenant_admin()
    backend = await a_backend(world, boss)
    email = {"email": "newcomer@example.org"}
    taking = sql.transaction()
    await taking.start()
    await sql.execute(TAKE_ADDRESS, boss.tenant_id)
    posting = asyncio.create_task(post(backend, "p", **email))
    await until_waiting(sql, on=posting)  # at its INSERT
    putting = asyncio.create_task(put(backend, "p"))
    await until_waiting(sql, 2, on=putting)
    await taking.rollback()
    posted, found = await posting, await putting
    assert (posted.status_code, found.status_code) == (201, 200)
    assert posted.json() == found.json()
    assert (await post(backend, "p")).status_code == 409


async def test_of_two_people_one_gets_the_name(world: World) -> None:
    backend = await a_backend(world, await world.tenant_admin())
    calls = [put(backend, f"p-{n}", username="wanted", email="w@example.org") for n in range(20)]
    statuses, [user] = await at_once(calls)
    assert statuses == {201: 1, 409: 19}
    for number in range(20):
        status = (await backend.http.get(path_of(f"p-{number}"))).status_code
        assert status == (200 if user["external_id"] == f"p-{number}" else 404)


@pytest.mark.parametrize("is_committed", [True, False])
async def test_a_change_that_waited_for_a_deletion_makes_somebody_new(
    world: World, sql: asyncpg.Connection, is_committed: bool
) -> None:
    """Or finds the old one, if the deletion was taken back."""
    backend = await a_backend(world, await world.tenant_admin())
    old = (await put(backend, "p", username="p", email="p@example.org")).json()
    deleting = sql.transaction()
    await deleting.start()
    await sql.execute("DELETE FROM users WHERE id = $1", UUID(old["id"]))
    assert (await put(backend, "p")).json() == old  # there is nothing to change, nor to wait for
    changing = asyncio.create_task(put(backend, "p", username="q", email="p@example.org"))
    await until_waiting(sql, on=changing)
    assert not changing.done()
    await (deleting.commit() if is_committed else deleting.rollback())
    answer = await changing
    user = answer.json()
    assert (answer.status_code, user["id"] == old["id"]) == (
        (201, False) if is_committed else (200, True)
    )
    assert (user["username"], user["email"]) == ("\\acme\\q", "p@example.org")
    assert (await backend.http.get(path_of("p"))).json() == user
    late = await backend.acting_for(old["id"]).post("/v1/chat-sessions", json={})
    assert late.status_code == (410 if is_committed else 201)
    now = await backend.acting_for("external:p").post("/v1/chat-sessions", json={})
    assert now.status_code == 201


async def test_put_and_deletion_at_the_same_moment(world: World, sql: asyncpg.Connection) -> None:
    backend = await a_backend(world, await world.tenant_admin())
    for number in range(12):
        old = (await put(backend, "p")).json()["id"]
        body = {"email": f"p-{number}@example.org"}
        deleted, answer = await asyncio.gather(
            backend.http.delete(f"/v1/users/{old}"), put(backend, "p", **body)
        )
        user = answer.json()
        assert (deleted.status_code, user["email"]) == (202, body["email"])
        present = [str(row["id"]) for row in await sql.fetch(KNOWN, "p")]
        if answer.status_code == 200:
            assert (user["id"], present) == (old, [])
        else:
            assert (answer.status_code, present) == (201, [user["id"]])
            assert user["id"] != old
    assert await sql.fetchval(DEADLOCKS) == 0


async def test_a_key_that_ends_while_it_puts_changes_nothing(
    world: World, sql: asyncpg.Connection
) -> None:
    boss = await world.tenant_admin()
    backend = await a_backend(world, boss)
    old = (await put(backend, "there")).json()
    for external_id in ("there", "new"):
        ending = await a_backend(world, boss)
        async with sql.transaction():
            await sql.execute("SELECT FROM tenants WHERE id = $1 FOR UPDATE", boss.tenant_id)
            acting = asyncio.create_task(put(ending, external_id, email="x@example.org"))
            await until_waiting(sql, on=acting)
            assert not acting.done()
            await sql.execute("DELETE FROM api_keys WHERE id = $1", ending.id)
        assert (await acting).status_code == 401
    assert (await backend.http.get(path_of("there"))).json() == old
    assert (await backend.http.get(path_of("new"))).status_code == 404
