"""Many requests with one key at the same time: one creates, no other does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from app.http.idempotency import HEADER
from tests.support.factories import PASSWORD, World
from tests.support.idempotency import ROUTES, Rows, Sent, a_request
from tests.support.locks import until_waiting
from tests.support.servers import Servers

PARALLEL = 50
FEW = 10  # each hashes a password
WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND datname = current_database()
"""
KEY = {HEADER: "k"}
NEW = {"username": "new", "password": PASSWORD}
BY_HAND = """
INSERT INTO general_idempotency_keys (tenant_id, user_id, key, fingerprint, answer, expires_at)
VALUES ($1, $2, 'k', 'x', 'x', now() + interval '1 day')
"""


@pytest.mark.parametrize("route", ROUTES)
async def test_fifty_requests_with_one_key_create_once(
    world: World, rows: Rows, route: str
) -> None:
    request = await a_request(world, route)
    there = await rows.of(route)
    number = FEW if route == "user" else PARALLEL
    answers = await asyncio.gather(*(request.send("k") for _ in range(number)))
    created = {answer.content for answer in answers if answer.status_code == 201}
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len(created) == 1
    assert await rows.of(route) == there + (3 if route == "batch" else 1)
    assert {(await request.send("k")).content} == created


async def test_control_fifty_requests_without_a_key_create_fifty(world: World, rows: Rows) -> None:
    request = await a_request(world, "message")
    there = await rows.of("message")
    await asyncio.gather(*(request.send() for _ in range(PARALLEL)))
    assert await rows.of("message") == there + PARALLEL


async def test_a_second_request_with_a_running_key_is_409_at_once(
    world: World, rows: Rows, servers: Servers, database: str
) -> None:
    """The first one is held up at the session's row; the control, another key, waits as well."""
    request = await a_request(world, "message")
    async with held(servers, database, request) as holder:
        first = asyncio.create_task(request.send("k"))
        await waiting(rows, 1)
        async with asyncio.timeout(3):  # less than the lock's timeout
            second = await request.send("k")
        assert second.status_code == 409
        other = asyncio.create_task(request.send("other"))
        assert (await request.by.http.get("/v1/me")).status_code == 200
        assert not other.done()
        await waiting(rows, 1)  # it waits in line, and not in the database
        await holder.execute("COMMIT")
        answers = [await first, await other]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert (await request.send("k")).content == answers[0].content


async def test_somebody_elses_equal_key_is_another_key_at_the_same_moment(
    world: World, rows: Rows, servers: Servers, database: str
) -> None:
    """Somebody else is in the same tenant, or in another one, and waits for nobody."""
    request = await a_request(world, "message")
    theirs = [
        await a_request(world, "session", await world.member()),
        await a_request(world, "message", await world.someone("\\globex\\x")),
    ]
    async with held(servers, database, request) as holder:
        first = asyncio.create_task(request.send("k"))
        await waiting(rows, 1)
        async with asyncio.timeout(3):  # less than the lock's timeout
            answers = [await one.send("k") for one in theirs]
        assert [answer.status_code for answer in answers] == [201, 201]
        await holder.execute("COMMIT")
        assert (await first).status_code == 201


async def test_a_strangers_equal_key_in_the_user_database_is_another_key_at_the_same_moment(
    world: World, rows: Rows
) -> None:
    first, other = await world.tenant_admin(), await world.tenant_admin("globex")
    bodies = [NEW | {"email": f"{n}@example.org"} for n in range(2)]
    async with rows.user.transaction():
        await rows.user.execute(
            "SELECT FROM tenants WHERE id = $1 FOR UPDATE", first.tenant_id
        )  # their creation waits for it
        waits = asyncio.create_task(first.http.post("/v1/users", json=bodies[0], headers=KEY))
        await until_waiting(rows.user)
        async with asyncio.timeout(4):
            answer = await other.http.post("/v1/users", json=bodies[1], headers=KEY)
        assert answer.status_code == 201, answer.text
        assert not waits.done()
    assert (await waits).status_code == 201


async def test_when_the_first_request_fails_the_next_creates(
    world: World, rows: Rows, servers: Servers, database: str
) -> None:
    """The holder of its lock deletes the session: the first gets 404, and stores nothing."""
    request = await a_request(world, "message")
    there = await rows.of("message")
    async with held(servers, database, request) as holder:
        first = asyncio.create_task(request.send("k"))
        await waiting(rows, 1)
        await holder.execute("DELETE FROM chat_sessions WHERE id = $1", _session(request))
        await holder.execute("COMMIT")
        assert (await first).status_code == 404
    elsewhere = await a_request(world, "message", request.by)
    assert (await elsewhere.send("k")).status_code == 201
    assert (await rows.of("message"), await rows.keys(request.by)) == (there + 1, 1)


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "control"])
async def test_a_request_that_slips_past_the_lock_is_refused_at_the_end(
    world: World, rows: Rows, servers: Servers, database: str, guarded: bool
) -> None:
    """The key is stored by hand between the look and the end. Its write goes with it."""
    request = await a_request(world, "message")
    there = await rows.of("message")
    name = "general_idempotency_keys"
    if not guarded:
        await rows.general.execute(f"ALTER TABLE {name} DROP CONSTRAINT pk_{name}")
    async with held(servers, database, request) as holder:
        late = asyncio.create_task(request.send("k"))
        await waiting(rows, 1)
        await holder.execute(BY_HAND, request.by.tenant_id, request.by.id)
        await holder.execute("COMMIT")
        answer = await late
    if not guarded:
        delete = f"DELETE FROM {name} WHERE user_id = $1"
        await rows.general.execute(delete, request.by.id)
        key = "PRIMARY KEY (tenant_id, user_id, key)"
        await rows.general.execute(f"ALTER TABLE {name} ADD CONSTRAINT pk_{name} {key}")
    assert answer.status_code == (409 if guarded else 201)
    assert await rows.of("message") == there + (0 if guarded else 1)


def _session(request: Sent) -> str:
    return request.path.split("/")[3]


@asynccontextmanager
async def held(
    servers: Servers, database: str, request: Sent
) -> AsyncGenerator[asyncpg.Connection]:
    """Whoever writes into the request's session waits for this transaction."""
    connection = await asyncpg.connect(servers.general.url(database))
    try:
        await connection.execute("BEGIN")
        lock = "SELECT FROM chat_sessions WHERE id = $1 FOR UPDATE"
        await connection.execute(lock, _session(request))
        yield connection
    finally:
        connection.terminate()


async def waiting(rows: Rows, number: int) -> None:
    """Returns once so many wait for a lock; the server has no event for that."""
    async with asyncio.timeout(10):
        while await rows.general.fetchval(WAITING) < number:
            pass
