"""Whatever breaks between COMMIT and answer: the retry gets the answer, and there is one row."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import NamedTuple

import httpx
import psutil
import pytest
import uvicorn
from litestar import Litestar

from app.config.settings import Settings
from app.http.idempotency import HEADER
from app.server import create_app
from tests.support import pgbouncer
from tests.support.callers import client_of
from tests.support.factories import World
from tests.support.idempotency import Rows, Sent, a_request
from tests.support.proxy import Act, Proxy, proxied
from tests.support.servers import Servers, alive, settings_for
from tests.support.service import running


class Behind(NamedTuple):
    """Settings of a service whose connections to the databases can be broken."""

    settings: Settings
    user: Proxy
    general: Proxy


@pytest.fixture
async def behind(servers: Servers, database: str) -> AsyncIterator[Behind]:
    ports = [pgbouncer.port(server) for server in servers]
    async with proxied(ports[0]) as user, proxied(ports[1]) as general:
        urls = {
            f"database_url_{name}": pgbouncer.url_at(proxy.port, database)
            for name, proxy in (("user", user), ("general", general))
        }
        yield Behind(settings_for(servers, database, **urls), user, general)


@pytest.mark.parametrize("act", [Act.CUT_BEFORE, Act.CUT_REPLY])
@pytest.mark.parametrize("route", ["tenant", "user", "message"])
async def test_a_connection_cut_around_commit_creates_at_most_once(
    world: World, rows: Rows, behind: Behind, route: str, act: Act
) -> None:
    """Cut before, nothing is stored; cut after, all of it: the client cannot tell, and need not."""
    request = await a_request(world, route)
    there = await rows.of(route)
    proxy = behind.general if route == "message" else behind.user
    # Behind PgBouncer the user database is told to COMMIT once before: of whose token it is.
    skip = int(pgbouncer.IS_WANTED and proxy is behind.user)
    service = create_app(behind.settings)
    async with alive(service), _through(service, request) as http:
        fault = proxy.breaks(act, b"COMMIT;", skip=skip)
        broken = await http.post(request.path, json=request.body, headers={HEADER: "k"})
        assert fault.happened.is_set()
        assert broken.status_code == 503
        assert broken.headers["retry-after"]
        stored = act is not Act.CUT_BEFORE
        assert await rows.keys(request.by) == await rows.of(route) - there == int(stored)
        retried = await http.post(request.path, json=request.body, headers={HEADER: "k"})
    assert retried.status_code == 201
    assert (await request.send("k")).content == retried.content
    assert await rows.of(route) == there + 1


@asynccontextmanager
async def _through(service: Litestar, request: Sent) -> AsyncGenerator[httpx.AsyncClient]:
    """The same user, at another service on the same databases."""
    token = request.by.http.headers["Authorization"].removeprefix("Bearer ")
    async with client_of(service, token) as http:
        yield http


async def test_a_retry_after_a_lost_answer_creates_nothing(
    world: World, rows: Rows, app: Litestar
) -> None:
    """Over real HTTP: the service has answered, and the answer is lost on the way."""
    request = await a_request(world, "message")
    async with _listening(app) as port, proxied(port) as line:
        line.breaks(Act.CUT_REPLY, HEADER.encode())
        with pytest.raises(httpx.TransportError):
            await _post(f"http://127.0.0.1:{line.port}", request)
        assert await rows.keys(request.by) == 1
        retried = await _post(f"http://127.0.0.1:{line.port}", request)
    assert retried.status_code == 201
    assert retried.json()["position"] == 1
    assert (await request.send("k")).content == retried.content


async def test_a_retry_after_a_kill_between_commit_and_answer_creates_nothing(
    world: World, rows: Rows, behind: Behind
) -> None:
    """With -9, when the database has committed and the service does not know it yet."""
    request = await a_request(world, "message")
    with ExitStack() as stack:
        start = stack.enter_context
        process, address = await asyncio.to_thread(start, running(behind.settings, 1))
        behind.general.breaks(Act.SILENCE, b"COMMIT;")
        first = asyncio.create_task(_post(address, request))
        async with asyncio.timeout(30):
            await behind.general.answer.wait()
        for one in [*psutil.Process(process.pid).children(recursive=True), process]:
            one.kill()
        with pytest.raises(httpx.TransportError):
            await first
    assert await rows.keys(request.by) == 1
    retried = await request.send("k")
    assert (retried.status_code, retried.json()["position"]) == (201, 1)
    stored = "SELECT count(*) FROM messages WHERE session_id = $1"
    assert await rows.general.fetchval(stored, retried.json()["session_id"]) == 1


async def _post(address: str, request: Sent) -> httpx.Response:
    headers = {HEADER: "k", "Authorization": request.by.http.headers["Authorization"]}
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=30) as http:
        return await http.post(request.path, json=request.body)


@asynccontextmanager
async def _listening(app: Litestar) -> AsyncGenerator[int]:
    """The application, which has been started already, on a port of its own."""
    config = uvicorn.Config(app, port=0, lifespan="off", log_config=None)  # pyright: ignore[reportArgumentType]  # ASGI is ASGI
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        await server.shutdown()
