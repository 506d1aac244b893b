"""More than there is room for: refused at once and in order, and never more than that."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
import uvicorn
import uvloop

from app.edge.draining import Server
from app.edge.limits import (
    ANSWERS_PER_SECOND,
    BURST,
    LONGEST_PAUSE_SECONDS,
    REMEMBERED,
    Pacing,
    TokenLimits,
)
from tests.support.factories import Someone, World, a_message, a_session
from tests.support.pool_faults import faults
from tests.support.servers import Servers
from tests.support.wire import (
    PATIENCE_SECONDS,
    ROW,
    bounded,
    locked,
    refused,
    service,
)

MORE = 20


def append(someone: Someone, session: dict[str, Any]) -> asyncio.Task[httpx.Response]:
    body = {"role": "user", "content": "Hello"}
    path = f"/v1/chat-sessions/{session['id']}/messages"
    return asyncio.create_task(someone.http.post(path, json=body))


async def test_one_request_too_many_is_refused_and_the_others_are_served(
    servers: Servers, database: str
) -> None:
    async with service(servers, database, request_concurrency=1, request_queue=1) as it:
        alice = await it.world.member()
        session = await a_session(alice)
        async with (
            locked(servers, database, ROW, session["id"]) as row,
            asyncio.timeout(PATIENCE_SECONDS),
        ):
            served = {append(alice, session)}
            await row.has_waiting(1)
            more = {append(alice, session), append(alice, session)}
            done, queued = await asyncio.wait(more, return_when=asyncio.FIRST_COMPLETED)
            assert [refused(one.result(), 503) for one in done] == [True]
            # What needs the other database goes on, and so does whoever looks after us.
            for path in ("/v1/me", "/health", "/health/ready", "/metrics"):
                assert (await alice.http.get(path)).status_code == 200
        answers = await asyncio.gather(*served, *queued)
        assert sorted(one.json()["position"] for one in answers) == [1, 2]


@bounded
async def test_a_request_that_takes_too_long_is_given_up(
    servers: Servers, database: str, world: World
) -> None:
    alice = await world.member()  # beside the service in a hurry, which may be too busy for it
    session = await a_session(alice)
    slow = {"db_lock_timeout_seconds": 600, "db_statement_timeout_seconds": 600}
    async with service(servers, database, request_timeout_seconds=0.3, **slow) as it:
        async with locked(servers, database, ROW, session["id"]) as row:
            answer = await append(it.world.same(alice), session)
            assert refused(answer, 503)
            assert answer.headers["x-should-retry"] == "false"
            await row.has_waiting(0)
        assert await faults(it.world.databases.general) == []
    assert (await a_message(alice, session["id"]))["position"] == 1


async def test_a_token_has_its_limit_of_requests(servers: Servers, database: str) -> None:
    limits = {"request_rate_per_token": 0.001, "request_burst_per_token": 3}
    async with service(servers, database, **limits) as it:
        alice, bob = await it.world.member(), await it.world.member()
        answers = [await alice.http.get("/v1/me") for _ in range(4)]
        assert [one.status_code for one in answers] == [200, 200, 200, 429]
        assert refused(answers[3], 429)
        assert (await bob.http.get("/v1/me")).status_code == 200
        for _ in range(4):  # nobody has no token to count by
            assert (await it.world.nobody.get("/v1/me")).status_code == 401
        assert (await alice.http.get("/health/live")).status_code == 200


async def test_a_tokens_requests_count_however_the_header_is_written(
    servers: Servers, database: str
) -> None:
    """Neither more spaces, nor another spelling, nor a second header make it another token."""
    limits = {"request_rate_per_token": 0.001, "request_burst_per_token": 3}
    async with service(servers, database, **limits) as it:
        alice = await it.world.member()
        token = alice.http.headers["authorization"].removeprefix("Bearer ")
        for written in (f"Bearer {token}", f"bearer  {token}", f"BEARER {token} "):
            headers = [("Authorization", written), ("Authorization", f"Bearer {written}")]
            answer = await it.world.nobody.get("/v1/me", headers=headers)
            assert answer.status_code == 200
        for number in range(5):
            headers = [("Authorization", f"Bearer {' ' * number}{token}"), ("Authorization", "x")]
            assert refused(await it.world.nobody.get("/v1/me", headers=headers), 429)


@bounded
async def test_a_client_that_comes_back_at_once_is_refused_more_slowly(
    servers: Servers, database: str
) -> None:
    """A crowd that does not heed Retry-After leaves the time to those who got in."""
    async with service(servers, database, request_concurrency=1, request_queue=0) as it:
        alice = await it.world.member()
        session = await a_session(alice)
        async with locked(servers, database, ROW, session["id"]) as row:
            held = append(alice, session)
            await row.has_waiting(1)
            began = time.monotonic()
            crowd = [append(alice, session) for _ in range(BURST + MORE)]
            assert all(refused(one, 503) for one in await asyncio.gather(*crowd))
            assert time.monotonic() - began > MORE / ANSWERS_PER_SECOND
        assert (await held).status_code == 201


@bounded
@pytest.mark.parametrize(
    ("path", "status"),
    [("/health/live", 200), ("/metrics", 200), ("/schema", 200), ("/v1/no", 404), ("/v1/me", 401)],
)
async def test_a_crowd_beside_the_lanes_is_answered_more_slowly(
    servers: Servers, database: str, path: str, status: int
) -> None:
    async with service(servers, database) as it:
        alice = await it.world.member()
        assert (await alice.http.get("/v1/me")).status_code == 200
        pacing: Pacing = it.app.state.gate.pacing
        assert len(pacing) == 0, "who has a place is answered at once"
        crowd = [asyncio.create_task(it.world.nobody.get(path)) for _ in range(BURST + MORE)]
        began = time.monotonic()
        assert {one.status_code for one in await asyncio.gather(*crowd)} == {status}
        assert time.monotonic() - began > MORE / 2 / ANSWERS_PER_SECOND


def test_each_address_is_answered_evenly_over_time() -> None:
    pacing = Pacing()
    began = time.monotonic()
    pauses = [pacing.pause_seconds("192.0.2.1") for _ in range(BURST + MORE)]
    elapsed = time.monotonic() - began
    assert pauses[:BURST] == [0] * BURST
    assert pauses[-1] >= MORE / ANSWERS_PER_SECOND - elapsed
    for _ in range(2 * ANSWERS_PER_SECOND):
        assert 0 < pacing.pause_seconds("192.0.2.1") <= LONGEST_PAUSE_SECONDS
    assert pacing.pause_seconds("192.0.2.2") == 0


HERE = ("127.0.0.1", 0)
CONNECTIONS = 64


async def turns_until_all_are_accepted() -> int:
    config = uvicorn.Config(untouched, lifespan="off", log_config=None)
    config.load()
    server = Server(config, 0)
    server.lifespan = config.lifespan_class(config)
    with (
        socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS) as listener,
        ExitStack() as stack,
    ):
        for _ in range(CONNECTIONS):
            stack.enter_context(socket.create_connection(listener.getsockname()))
        await server.startup([listener])
        turns = 0
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(server.server_state.connections) < CONNECTIONS:
                turns += 1
                await asyncio.sleep(0)
        for one in server.servers:
            one.close()
    return turns


async def untouched(_: Any, __: Any, ___: Any) -> None:
    raise AssertionError


def test_a_newcomer_does_not_wait_for_a_crowd_of_connections() -> None:
    """Each turn of the loop may be long, and uvloop takes one connection in each."""
    assert uvloop.run(turns_until_all_are_accepted()) < CONNECTIONS / 4


async def answers_to_who_came_before_the_stop() -> list[bytes]:
    config = uvicorn.Config(hello, lifespan="off", log_config=None)
    config.load()
    server = Server(config, 1)
    server.lifespan = config.lifespan_class(config)
    loop, answers = asyncio.get_running_loop(), list[bytes]()
    with socket.create_server(HERE, backlog=CONNECTIONS) as listener, ExitStack() as stack:
        await server.startup([listener])
        clients = [socket.create_connection(listener.getsockname()) for _ in range(CONNECTIONS)]
        stopping = asyncio.create_task(server.shutdown([listener]))
        async with asyncio.timeout(PATIENCE_SECONDS):
            for client in map(stack.enter_context, clients):
                client.setblocking(False)
                await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                answers.append(await loop.sock_recv(client, 1024))
            stopping.cancel()
    return answers


async def hello(_: Any, __: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def test_who_connected_before_the_stop_is_answered() -> None:
    """No turn of the loop had accepted them; a socket that is closed resets whoever waits."""
    answers = uvloop.run(answers_to_who_came_before_the_stop())
    assert [b"hello" in answer for answer in answers] == [True] * CONNECTIONS


def test_limits_hold_no_more_tokens_than_they_may() -> None:
    limits = TokenLimits(per_second=0.001, burst=1)
    first = "bic_first"
    assert limits.wait_seconds(first) == 0
    for number in range(REMEMBERED - 1):
        assert limits.wait_seconds(str(number)) == 0
    assert limits.wait_seconds(first) > 0  # a flood of other tokens does not wash it away
    for number in range(5 * REMEMBERED):
        limits.wait_seconds(f"other {number}")
    assert len(limits) <= 2 * REMEMBERED
