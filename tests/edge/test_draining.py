"""A real `litestar run`, with clients on it, is told to stop; and one is killed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import httpx
import psutil
import pytest

from app.config.settings import Settings
from app.edge.refusals import STOPPING
from tests.support.factories import Someone, World, a_session
from tests.support.servers import Servers
from tests.support.service import STOP_SECONDS, running
from tests.support.wire import MESSAGES, ROW, locked

UNDER_WAY = 4  # no more than one worker has connections for
WRITERS = 4
SOON_SECONDS = 10


@pytest.fixture
async def clients() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def connected(clients: AsyncExitStack, someone: Someone, address: str) -> httpx.AsyncClient:
    """Connect for real, and stay connected."""
    authorization = {"Authorization": someone.http.headers["authorization"]}
    client = httpx.AsyncClient(base_url=address, headers=authorization, timeout=30)
    return await clients.enter_async_context(client)


def append(client: httpx.AsyncClient, session: dict[str, Any]) -> asyncio.Task[httpx.Response]:
    body = {"role": "user", "content": "Hello"}
    path = f"/v1/chat-sessions/{session['id']}/messages"
    return asyncio.create_task(client.post(path, json=body))


async def told_to_leave(client: httpx.AsyncClient) -> list[int]:
    """Asks on its one connection until the service asks it to connect elsewhere."""
    statuses: list[int] = []
    while True:
        answer = await client.get("/v1/me")
        statuses.append(answer.status_code)
        if answer.headers.get("connection") == "close":
            return statuses


async def test_no_request_is_cut_off_by_a_stop(
    world: World, settings: Settings, servers: Servers, database: str, clients: AsyncExitStack
) -> None:
    alice = await world.member()
    sessions = [await a_session(alice) for _ in range(UNDER_WAY)]
    # Longer than it takes here to see that it is unready: the lock is let go after that.
    patient = {"REQUEST_DRAIN_SECONDS": "2", "DB_LOCK_TIMEOUT_SECONDS": "600"}
    with running(settings, 2, **patient) as (process, address):
        async with asyncio.timeout(STOP_SECONDS):
            others = [await connected(clients, alice, address) for _ in range(3)]
            busy = [await connected(clients, alice, address) for _ in range(UNDER_WAY)]
            async with locked(servers, database, MESSAGES) as table:
                under_way = [append(*one) for one in zip(busy, sessions, strict=True)]
                await table.has_waiting(UNDER_WAY)
                asking = [asyncio.create_task(told_to_leave(client)) for client in others]
                process.send_signal(signal.SIGTERM)
                statuses = await asyncio.gather(*asking)
                assert {status for one in statuses for status in one} == {200}
                ready = await others[0].get("/health/ready")
                assert (ready.status_code, ready.json()["error"]) == (
                    503,
                    "this process is stopping",
                )
            answers = await asyncio.gather(*under_way)
            assert [one.status_code for one in answers] == [201] * UNDER_WAY
            await asyncio.to_thread(process.wait)
    positions = await stored(servers, database)
    assert positions == {one.json()["id"]: one.json()["position"] for one in answers}


async def test_a_request_not_done_in_time_for_the_stop_is_503(
    world: World, settings: Settings, servers: Servers, database: str, clients: AsyncExitStack
) -> None:
    alice = await world.member()
    session = await a_session(alice)
    hurry = {"REQUEST_DRAIN_SECONDS": "0", "REQUEST_GRACE_SECONDS": "1"}
    # Nothing else could end it.
    hurry |= dict.fromkeys(("DB_LOCK_TIMEOUT_SECONDS", "DB_STATEMENT_TIMEOUT_SECONDS"), "600")
    hurry |= {"REQUEST_TIMEOUT_SECONDS": "600"}
    with running(settings, 1, **hurry) as (process, address):
        async with (
            asyncio.timeout(STOP_SECONDS),
            locked(servers, database, ROW, session["id"]) as row,
        ):
            client = await connected(clients, alice, address)
            under_way = append(client, session)
            await row.has_waiting(1)
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(SOON_SECONDS):  # less than the default
                answer = await under_way
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.json()["detail"] == STOPPING
            await row.has_waiting(0)
            await asyncio.to_thread(process.wait)


async def test_where_nobody_drains_an_idle_connection_is_closed_at_once(
    settings: Settings,
) -> None:
    """Neither are proxies given time to notice, nor are idle connections kept for a request."""
    with running(settings, 1, REQUEST_DRAIN_SECONDS="0") as (process, address):
        port = int(address.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"alive")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(2.5):  # less than the default
            await reader.read()
        writer.close()


async def test_every_answer_asks_its_client_to_connect_anew(
    settings: Settings, clients: AsyncExitStack
) -> None:
    """The answers of no route and of no gate do, too: no idle connection is left to be closed."""
    page = {"Origin": "https://app.example.org", "Access-Control-Request-Method": "GET"}
    cors = {"CORS_ALLOWED_ORIGINS": page["Origin"]}
    with running(settings, 1, REQUEST_DRAIN_SECONDS="600", **cors) as (process, address):
        client = await clients.enter_async_context(httpx.AsyncClient(base_url=address))
        assert "connection" not in (await client.get("/health/live")).headers
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_SECONDS):
            while (await client.get("/health/ready")).status_code != 503:
                pass
        answers = [await client.get(path) for path in ("/health/live", "/metrics", "/no", "/v1/me")]
        answers.append(await client.options("/v1/me", headers=page))
        assert {answer.headers.get("connection") for answer in answers} == {"close"}
        process.send_signal(signal.SIGTERM)


async def test_a_second_signal_ends_the_wait_for_proxies_to_notice(
    settings: Settings, clients: AsyncExitStack
) -> None:
    with running(settings, 1, REQUEST_DRAIN_SECONDS="600") as (process, address):
        client = await clients.enter_async_context(httpx.AsyncClient(base_url=address))
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_SECONDS):
            while (await client.get("/health/ready")).status_code != 503:
                pass
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, STOP_SECONDS)


async def test_a_killed_service_loses_nothing_that_was_acknowledged(
    world: World, settings: Settings, servers: Servers, database: str, clients: AsyncExitStack
) -> None:
    alice = await world.member()
    session = await a_session(alice)
    acknowledged: dict[str, int] = {}
    enough = asyncio.Event()

    async def write(client: httpx.AsyncClient) -> None:
        while True:
            answer = await append(client, session)
            assert answer.status_code == 201
            acknowledged[answer.json()["id"]] = answer.json()["position"]
            if len(acknowledged) > 50:
                enough.set()

    with running(settings, 1) as (process, address):
        writers = [
            asyncio.create_task(write(await connected(clients, alice, address)))
            for _ in range(WRITERS)
        ]
        async with asyncio.timeout(STOP_SECONDS):
            await enough.wait()
        for one in (psutil.Process(process.pid), *psutil.Process(process.pid).children(True)):
            os.kill(one.pid, signal.SIGKILL)
        ended = await asyncio.gather(*writers, return_exceptions=True)
        assert all(isinstance(one, httpx.TransportError) for one in ended)
    positions = await stored(servers, database)
    assert acknowledged.items() <= positions.items()
    assert sorted(positions.values()) == list(range(1, len(positions) + 1))
    assert len(positions) <= len(acknowledged) + WRITERS


async def stored(servers: Servers, database: str) -> dict[str, int]:
    connection = await asyncpg.connect(servers.general.url(database))
    rows = await connection.fetch("SELECT id, position FROM messages")
    await connection.close()
    return {str(row["id"]): row["position"] for row in rows}
