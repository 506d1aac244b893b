"""More than there is room for: refused at once and in order, and never more than that."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx

from app.edge.limits import (
    LONGEST_PAUSE_SECONDS,
    REFUSALS_PER_SECOND,
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
            assert refused(await append(it.world.same(alice), session), 503)
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
            crowd = [append(alice, session) for _ in range(REFUSALS_PER_SECOND // 10)]
            assert all(refused(one, 503) for one in await asyncio.gather(*crowd))
            assert time.monotonic() - began > len(crowd) / REFUSALS_PER_SECOND / 2
        assert (await held).status_code == 201


def test_a_crowd_is_refused_one_after_the_other() -> None:
    pacing = Pacing()
    began = time.monotonic()
    pauses = [pacing.pause_seconds() for _ in range(REFUSALS_PER_SECOND // 10)]
    elapsed = time.monotonic() - began
    assert min(pauses) == pauses[0] > 0
    assert pauses[-1] >= len(pauses) / REFUSALS_PER_SECOND - elapsed
    for _ in range(REFUSALS_PER_SECOND):
        assert 0 < pacing.pause_seconds() <= LONGEST_PAUSE_SECONDS


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
