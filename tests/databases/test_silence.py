"""A database that says nothing: given up on, refused at once, and taken up again by itself.

The timeouts of statements and requests are far away here: only the breaker can end these waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from sqlalchemy import text

from app.config.settings import Settings
from app.databases.breaker import Breaker
from app.databases.connection import TenantConnection
from app.databases.opening import connector
from tests.support import pgbouncer
from tests.support.factories import Someone, a_message, a_session
from tests.support.log_lines import events
from tests.support.outages import freeze, thaw
from tests.support.pool_faults import faults
from tests.support.proxy import Proxy, proxied
from tests.support.servers import Servers, run
from tests.support.wire import Service, bounded, service

HASTY = {"db_silence_seconds": 0.2, "health_timeout_seconds": 1}
PATIENT = {
    "db_statement_timeout_seconds": 600,
    "db_lock_timeout_seconds": 600,
    "db_connect_timeout_seconds": 600,
    "db_pool_timeout": 600,
    "request_timeout_seconds": 600,
}
LONG_SECONDS = 8
MANY = 30  # more than the pool has connections


@pytest.fixture
async def proxy(servers: Servers) -> AsyncIterator[Proxy]:
    async with proxied(pgbouncer.port(servers.general)) as proxy:
        yield proxy


@asynccontextmanager
async def silenced(how: str, servers: Servers, proxy: Proxy) -> AsyncGenerator[None]:
    """Silence the server for everybody, or for whoever comes by the proxy."""
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
    async with service(servers, database, **more) as it:
        yield it


async def volley(someone: Someone, path: str) -> list[httpx.Response]:
    return await asyncio.gather(*(someone.http.get(path) for _ in range(MANY)))


async def statuses(someone: Someone, path: str) -> set[int]:
    return {answer.status_code for answer in await volley(someone, path)}


@pytest.mark.parametrize("how", ["frozen", "black hole"])
@bounded
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


@pytest.mark.slow
@bounded
async def test_a_silence_lasts_for_as_long_as_the_setting_says(
    servers: Servers, database: str, proxy: Proxy
) -> None:
    """Longer than the default here: no sooner is the database given up."""
    url = pgbouncer.url_at(proxy.port, database)
    more = {**PATIENT, "db_silence_seconds": LONG_SECONDS, "database_url_general": url}
    async with service(servers, database, **more) as it:
        alice = await it.world.member()
        assert await statuses(alice, "/v1/chat-sessions") == {200}
        async with silenced("black hole", servers, proxy):
            began = time.monotonic()
            assert (await alice.http.get("/v1/chat-sessions")).status_code == 503
            assert time.monotonic() - began > 0.9 * LONG_SECONDS


@bounded
async def test_health_is_503_for_as_long_as_a_silent_database_refuses_requests(
    it: Service, servers: Servers, proxy: Proxy
) -> None:
    alice = await it.world.member()
    await volley(alice, "/v1/chat-sessions")  # the pool is full of connections
    async with silenced("black hole", servers, proxy):
        assert await statuses(alice, "/v1/chat-sessions") == {503}
    while (await it.world.nobody.get("/health/ready")).status_code != 200:
        pass
    assert (await alice.http.get("/v1/chat-sessions")).status_code == 200


@pytest.mark.parametrize("path", ["/v1/chat-sessions", "/v1/chat-sessions/{}"])
@bounded
async def test_idle_connections_to_a_silent_database_are_given_up_too(
    it: Service, servers: Servers, proxy: Proxy, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One request finds out. The connections beside its own would lead nowhere afterwards."""
    alice = await it.world.member()
    path = path.format((await a_session(alice))["id"])
    assert await statuses(alice, path) == {200}  # the pool is full of connections
    async with silenced("black hole", servers, proxy):
        assert (await alice.http.get(path)).status_code == 503
    while (await alice.http.get(path)).status_code != 200:
        pass
    assert await statuses(alice, path) == {200}
    [line] = events(capsys.readouterr().err, "database_silent")
    assert line["waiting"] == 1


@bounded
async def test_no_connection_is_tried_to_a_database_that_is_silent(
    it: Service, servers: Servers, proxy: Proxy
) -> None:
    alice = await it.world.member()
    path = "/v1/chat-sessions"
    await it.world.databases.general.dispose()
    async with silenced("black hole", servers, proxy):
        assert await statuses(alice, path) == {503}
        before = proxy.taken
        assert await statuses(alice, path) == {503}
        assert proxy.taken - before < MANY / 10  # it may be asked meanwhile, by us
    while (await alice.http.get(path)).status_code != 200:
        pass


@bounded
async def test_a_silent_database_is_asked_by_us_and_logged_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked, answers = 0, asyncio.Event()

    async def ask(_: object) -> None:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise ConnectionRefusedError
        answers.set()

    async def connect() -> TenantConnection:
        await asyncio.Event().wait()
        raise AssertionError

    breaker = Breaker("user", ask, patience_seconds=0.01)
    with pytest.raises(TimeoutError):
        await breaker.guard(connect)()
    for _ in range(1000):  # turns of the loop, in which it could be asked again and again
        await asyncio.sleep(0)
    assert (asked, breaker.is_open) == (1, True)
    await answers.wait()
    await asyncio.sleep(0)
    assert (asked, breaker.is_open) == (3, False)
    logged = capsys.readouterr().err
    assert [len(events(logged, f"database_{what}")) for what in ("silent", "answers")] == [1, 1]


@bounded
async def test_quick_requests_make_nobody_ask_the_database(settings: Settings) -> None:
    asked = 0

    async def ask(_: object) -> None:
        nonlocal asked
        asked += 1

    breaker = Breaker("user", ask, patience_seconds=0.2)
    connection = await breaker.guard(connector(settings, "user"))()
    ends = time.monotonic() + 0.5
    while time.monotonic() < ends:
        await connection.fetchval("SELECT 1")
    await connection.close()
    assert asked == 0


@bounded
async def test_a_database_that_refuses_connections_is_not_silent(
    it: Service, servers: Servers, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It lets nobody in any more, us neither; who is in already has merely slow work."""
    async with it.world.databases.general.session() as session:
        await session.execute(text("SELECT"))
        await run(servers.general, f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        await session.execute(text("SELECT pg_sleep(0.8)"))
    assert "database_silent" not in capsys.readouterr().err


@bounded
async def test_a_slow_database_is_not_a_silent_one(
    it: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    async with it.world.databases.general.session() as session:
        await session.execute(text("SELECT pg_sleep(0.8)"))  # it is asked meanwhile, and answers
    assert "database_silent" not in capsys.readouterr().err


@bounded
async def test_one_that_lets_nobody_in_and_answers_others_is_not_silent(
    it: Service, proxy: Proxy, capsys: pytest.CaptureFixture[str]
) -> None:
    alice = await it.world.member()
    path = "/v1/chat-sessions"
    await volley(alice, path)  # the pool is full of connections
    proxy.is_shut = True

    async def slow() -> None:  # so that it is asked meanwhile, for a second in vain
        async with it.world.databases.general.session() as session:
            await session.execute(text("SELECT pg_sleep(2)"))

    sleeping = asyncio.create_task(slow())
    while not sleeping.done():
        assert (await alice.http.get(path)).status_code == 200
    await sleeping
    assert "database_silent" not in capsys.readouterr().err
