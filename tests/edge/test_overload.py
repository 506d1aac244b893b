"""More than there is room for: refused at once and in order, and never more than that."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest

from app.config.settings import Settings
from app.edge.gate import LONGEST_PAUSE_SECONDS, PAUSE, RETURNS_PER_SECOND, RetryPacing
from app.edge.limits import REMEMBERED, TokenLimits
from tests.support.factories import Someone, World, a_message, a_session
from tests.support.pool_faults import faults
from tests.support.servers import Servers
from tests.support.wire import (
    PATIENCE_SECONDS,
    ROW,
    Wire,
    bounded,
    locked,
    refused,
    service,
    serving,
    wired,
)

HELD = b"POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n" + b" " * 1000


REFUSED = b"GET /refused HTTP/1.1\r\nHost: x\r\n\r\n"


def append(someone: Someone, session: dict[str, Any]) -> asyncio.Task[httpx.Response]:
    body = {"role": "user", "content": "Hello"}
    path = f"/v1/chat-sessions/{session['id']}/messages"
    return asyncio.create_task(someone.http.post(path, json=body))


async def test_one_too_many_is_refused_and_the_others_are_served(
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
            assert refused(await append(it.world.same(alice), session), 503)
            await row.has_waiting(0)
        assert await faults(it.world.databases.general) == []
    assert (await a_message(alice, session["id"]))["position"] == 1


async def test_slow_bodies_take_nobodys_place(servers: Servers, database: str) -> None:
    one_place = {"request_concurrency": 1, "request_queue": 0}
    async with (
        service(servers, database, **one_place) as it,
        wired(it.port) as slow,
        wired(it.port) as other,
    ):
        await slow.send(HELD.replace(b"auth/login", b"users"))  # a place of the same lane
        await other.send(b"GET /v1/me HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await other.status() == 401


async def test_bodies_hold_no_more_memory_than_they_may(servers: Servers, database: str) -> None:
    async with (
        service(servers, database, request_bodies_max_bytes=1500) as it,
        asyncio.timeout(PATIENCE_SECONDS),
        wired(it.port) as other,
    ):
        async with wired(it.port) as slow:
            await slow.send(HELD)
            while await sent_whole(other) != 503:  # once the server has seen the first one
                pass
        while await sent_whole(other) != 415:  # once it has seen it go
            pass


async def sent_whole(wire: Wire) -> int:
    await wire.send(HELD.replace(b"2000", b"1000"))
    return await wire.status()


async def test_a_token_has_its_limit(servers: Servers, database: str) -> None:
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


@pytest.mark.parametrize("pause", [0.001, 600])
async def test_who_was_refused_is_not_listened_to_for_a_moment(
    settings: Settings, pause: float
) -> None:
    """Others are, meanwhile. Of 600 seconds none is waited for."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/refused":
            scope["state"][PAUSE] = pause
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with serving(answer, settings) as port, wired(port) as one, wired(port) as other:
        await one.send(REFUSED)
        assert await one.status() == 204
        await one.send(REFUSED)
        again = asyncio.create_task(one.status())
        for _ in range(20):
            await other.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await other.status() == 204
        if pause < 1:
            assert await again == 204
        else:
            assert not again.done()
            again.cancel()


def test_a_crowd_comes_back_one_after_the_other() -> None:
    returns = RetryPacing()
    began = time.monotonic()
    pauses = [returns.pause_seconds() for _ in range(RETURNS_PER_SECOND // 10)]
    elapsed = time.monotonic() - began
    assert min(pauses) == pauses[0] > 0
    assert pauses[-1] >= len(pauses) / RETURNS_PER_SECOND - elapsed
    for _ in range(RETURNS_PER_SECOND):
        assert 0 < returns.pause_seconds() <= LONGEST_PAUSE_SECONDS


def test_limits_hold_no_more_tokens_than_they_may() -> None:
    limits = TokenLimits(per_second=0.001, burst=1)
    first = b"Bearer bic_first"
    assert limits.wait_seconds(first) == 0
    for number in range(REMEMBERED - 1):
        assert limits.wait_seconds(b"%d" % number) == 0
    assert limits.wait_seconds(first) > 0  # a flood of other tokens does not wash it away
    for number in range(5 * REMEMBERED):
        limits.wait_seconds(b"other %d" % number)
    assert len(limits) <= 2 * REMEMBERED
