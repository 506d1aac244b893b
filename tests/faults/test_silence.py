"""A database that says nothing: given up on, refused at once, and taken up again by itself.

The timeouts of statements and requests are far away here: only the breaker can end these waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from sqlalchemy import text

from tests import pgbouncer
from tests.conftest import Servers
from tests.factories import Someone, a_message, a_session
from tests.faults.proxy import Proxy, proxied
from tests.faults.test_servers import freeze, thaw
from tests.faults.wire import PATIENCE_SECONDS, Service, service
from tests.security.test_cancellation import faults

HASTY = {"db_silence_seconds": 0.2, "health_timeout_seconds": 1}
PATIENT = {
    "db_statement_timeout_seconds": 600,
    "db_lock_timeout_seconds": 600,
    "db_connect_timeout_seconds": 600,
    "db_pool_timeout": 600,
    "request_timeout_seconds": 600,
}
MANY = 30  # more than the pool has connections


@pytest.fixture
async def proxy(servers: Servers) -> AsyncIterator[Proxy]:
    async with proxied(pgbouncer.port(servers.general)) as proxy:
        yield proxy


@asynccontextmanager
async def silenced(how: str, servers: Servers, proxy: Proxy) -> AsyncGenerator[None]:
    """For all, or for whoever comes by the line that leads nowhere."""
    if how == "frozen":
        await freeze(servers.general)
    else:
        proxy.is_black_hole = True
    try:
        yield
    finally:
        proxy.heals()
        await thaw(servers.general)


@pytest.fixture
async def it(servers: Servers, database: str, proxy: Proxy) -> AsyncIterator[Service]:
    url = pgbouncer.url_at(proxy.port, database)
    more = {**HASTY, **PATIENT, "database_url_general": url}
    async with service(servers, database, **more) as it, asyncio.timeout(PATIENCE_SECONDS):
        yield it


async def volley(someone: Someone, path: str) -> list[httpx.Response]:
    return await asyncio.gather(*(someone.http.get(path) for _ in range(MANY)))


@pytest.mark.parametrize("how", ["frozen", "black hole"])
async def test_a_silent_database_is_refused_until_it_answers(
    it: Service, servers: Servers, proxy: Proxy, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    alice = await it.world.member()
    session = await a_session(alice)
    await volley(alice, "/v1/chat-sessions")  # the pool is full of connections
    async with silenced(how, servers, proxy):
        for _ in range(2):  # whoever waits while it falls silent, and whoever comes later
            for answer in await volley(alice, "/v1/chat-sessions"):
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        others = await volley(alice, "/v1/me")
        assert {answer.status_code for answer in others} == {200}
    while (await alice.http.get("/v1/chat-sessions")).status_code != 200:
        pass  # it answers at once, so that each question is one to the service
    assert {one.status_code for one in await volley(alice, "/v1/chat-sessions")} == {200}
    assert (await a_message(alice, session["id"]))["position"] == 1
    assert await faults(it.world.databases.general) == []
    logged = capsys.readouterr().err
    assert [logged.count(f'"database_{event}"') for event in ("silent", "answers")] == [1, 1]


async def test_a_slow_database_is_not_a_silent_one(
    it: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    async with it.world.databases.general.session() as session:
        await session.execute(text("SELECT pg_sleep(0.8)"))  # it is asked meanwhile, and answers
    assert "database_silent" not in capsys.readouterr().err
