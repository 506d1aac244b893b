"""A NAT or a load balancer swallows what is established, and lets new connections pass.

The timeouts of statements and requests are far away here: only the breaker can end these waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.bridge.erasure.relay import AwayError
from app.databases.database import Database
from app.databases.sessions import GeneralSession
from app.databases.statement import Statement
from tests.support import pgbouncer
from tests.support.erasure_scene import open_scene
from tests.support.factories import Someone, a_message, a_session
from tests.support.log_lines import events
from tests.support.proxy import Act, Proxy, proxied
from tests.support.servers import Servers
from tests.support.wire import Service, bounded, refused, service

SILENCE_SECONDS = 0.4
# A look may come an eighth late, the question and a busy machine take their time, too.
AT_MOST_SECONDS = 2.5 * SILENCE_SECONDS
FAR = {
    "db_statement_timeout_seconds": 600,
    "db_lock_timeout_seconds": 600,
    "db_connect_timeout_seconds": 600,
    "db_pool_timeout": 600,
    "request_timeout_seconds": 600,
    "db_silence_seconds": SILENCE_SECONDS,
}
MANY = 20  # more than the pool has connections
BODY = {"role": "user", "content": "Where is it warm?"}
LOCK = "SELECT pg_advisory_xact_lock(1)"
LARGE = Statement(text("SELECT repeat(CAST(:letter AS text), CAST(:times AS int))"))
SLICE_BYTES = 4096

pytestmark = pgbouncer.only_directly("PgBouncer's backends are not the service's")


@pytest.fixture
async def user(servers: Servers) -> AsyncIterator[Proxy]:
    async with proxied(servers.user.port) as proxy:
        yield proxy


@pytest.fixture
async def general(servers: Servers) -> AsyncIterator[Proxy]:
    async with proxied(servers.general.port) as proxy:
        yield proxy


@pytest.fixture
async def it(
    servers: Servers, database: str, user: Proxy, general: Proxy
) -> AsyncIterator[Service]:
    async with service(servers, database, **FAR, **through(user, general, database)) as it:
        yield it


def through(user: Proxy, general: Proxy, database: str) -> dict[str, str]:
    return {
        "database_url_user": pgbouncer.url_at(user.port, database),
        "database_url_general": pgbouncer.url_at(general.port, database),
    }


def forget(*proxies: Proxy) -> None:
    for proxy in proxies:
        proxy.forgets()


@asynccontextmanager
async def within(seconds: float) -> AsyncGenerator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


async def volley(someone: Someone, path: str) -> set[int]:
    answers = await asyncio.gather(*(someone.http.get(path) for _ in range(MANY)))
    return {answer.status_code for answer in answers}


@pytest.mark.parametrize("route", ["/v1/me", "/v1/chat-sessions", "/v1/chat-sessions/{}/messages"])
@bounded
async def test_what_is_read_is_read_over_another_connection(
    it: Service, user: Proxy, general: Proxy, route: str, capsys: pytest.CaptureFixture[str]
) -> None:
    alice = await it.world.member()
    path = route.format((await a_session(alice))["id"])
    assert await volley(alice, path) == {200}  # the pools are full of connections
    forget(user, general)
    async with within(2 * AT_MOST_SECONDS):  # its token, then what it asks for
        assert (await alice.http.get(path)).status_code == 200
    assert events(capsys.readouterr().err, "connections_forgotten")
    assert await volley(alice, path) == {200}
    logged = capsys.readouterr().err
    assert not events(logged, "connections_forgotten"), "nobody else finds out anew"
    assert not events(logged, "database_silent")


@bounded
async def test_whoever_waits_already_is_helped_with_all_others(
    it: Service, user: Proxy, general: Proxy
) -> None:
    alice = await it.world.member()
    assert await volley(alice, "/v1/chat-sessions") == {200}
    forget(user, general)
    async with within(2 * AT_MOST_SECONDS):
        assert await volley(alice, "/v1/chat-sessions") == {200}


@bounded
async def test_a_session_that_writes_begins_elsewhere(it: Service, general: Proxy) -> None:
    alice = await it.world.member()
    path = f"/v1/chat-sessions/{(await a_session(alice))['id']}"
    assert (await alice.http.patch(path, json={"title": "Cold"})).status_code == 200
    forget(general)
    async with within(AT_MOST_SECONDS):
        assert (await alice.http.patch(path, json={"title": "Warm"})).status_code == 200
    assert (await alice.http.get(path)).json()["title"] == "Warm"


@pytest.mark.parametrize("arrives", [False, True])
@bounded
async def test_a_write_of_unknown_outcome_is_503_and_not_sent_twice(
    it: Service, general: Proxy, arrives: bool
) -> None:
    """The line swallows the statement, or its answer. From here they look alike."""
    alice = await it.world.member()
    session = await a_session(alice)
    path = f"/v1/chat-sessions/{session['id']}/messages"
    await a_message(alice, session["id"])
    if arrives:
        general.breaks(Act.SILENCE, UUID(session["id"]).bytes)
    else:
        forget(general)
    async with within(AT_MOST_SECONDS):
        assert refused(await alice.http.post(path, json=BODY), 503)
    found = [one["content"] for one in (await alice.http.get(path)).json()["items"]]
    assert found.count(BODY["content"]) == arrives
    assert (await alice.http.post(path, json=BODY)).status_code == 201


@bounded
async def test_what_a_forgotten_transaction_has_locked_is_free_at_once(
    it: Service, general: Proxy
) -> None:
    """Its backend would wait for what comes next, and keep its locks meanwhile."""
    database = it.world.databases.general
    with pytest.raises(DBAPIError):
        await forgotten_within(database, general)
    async with within(AT_MOST_SECONDS), database.session() as session:
        await session.execute(text(LOCK))


async def forgotten_within(database: Database[GeneralSession], general: Proxy) -> None:
    async with database.session() as session:
        await session.execute(text(LOCK))
        forget(general)
        await session.execute(text("SELECT"))


@bounded
async def test_a_large_answer_may_be_long_on_its_way(it: Service, general: Proxy) -> None:
    """Its backend has sent it and is idle, while it trickles in."""
    database = it.world.databases.general
    assert (await database.fetch(LARGE, {"letter": "x", "times": 1}))[0][0] == "x"
    general.slice_bytes, general.latency_seconds = SLICE_BYTES, SILENCE_SECONDS / 8
    started = time.monotonic()
    assert len((await database.fetch(LARGE, {"letter": "x", "times": 50 * SLICE_BYTES}))[0][0])
    assert time.monotonic() - started > 3 * SILENCE_SECONDS


@bounded
async def test_a_relay_goes_on_over_other_connections(
    servers: Servers, database: str, user: Proxy, general: Proxy
) -> None:
    async with open_scene(servers, database, **FAR, **through(user, general, database)) as scene:
        relay = scene.relay()
        await scene.delete(await scene.a_user(sessions=1))
        await relay.run_once()
        alice = await scene.a_user(sessions=1)
        await scene.delete(alice)
        forget(user, general)
        async with within(4 * AT_MOST_SECONDS):
            while not (await scene.entry(alice))["receipt"]:
                with suppress(AwayError, DBAPIError):
                    await relay.run_once()
                await scene.due()
