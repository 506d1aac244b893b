"""While our own event loop stands still nothing is read: no database is silent for that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text

from app.config.settings import Settings
from app.databases.backends import Idle, asking
from app.databases.connection import Backend
from app.databases.timeouts import awake_timeout
from tests.support import pgbouncer
from tests.support.factories import a_session
from tests.support.log_lines import events
from tests.support.proxy import Proxy, proxied
from tests.support.servers import Servers
from tests.support.wire import Service, bounded, service

SILENCE_SECONDS = 0.3
STALL_SECONDS = 0.5  # longer than a database may be silent, or take to answer our question
SETTINGS = {
    "db_silence_seconds": SILENCE_SECONDS,
    "health_timeout_seconds": 0.4,
    "db_statement_timeout_seconds": 600,
    "db_lock_timeout_seconds": 600,
    "db_connect_timeout_seconds": 600,
    "db_pool_timeout": 600,
    "request_timeout_seconds": 600,
}
PIDS = text("SELECT pg_backend_pid() FROM pg_sleep(:seconds)")


@pytest.fixture
async def proxy(servers: Servers) -> AsyncIterator[Proxy]:
    async with proxied(pgbouncer.port(servers.general)) as proxy:
        yield proxy


@pytest.fixture
async def it(servers: Servers, database: str, proxy: Proxy) -> AsyncIterator[Service]:
    url = pgbouncer.url_at(proxy.port, database)
    async with service(servers, database, **SETTINGS, database_url_general=url) as it:
        yield it


@asynccontextmanager
async def stalling(pause_seconds: float) -> AsyncGenerator[None]:
    """Let a callback hold the loop again and again, each time after it has run for a moment."""
    loop = asyncio.get_running_loop()

    def stall() -> None:
        nonlocal timer
        time.sleep(STALL_SECONDS)
        timer = loop.call_later(pause_seconds, stall)

    timer = loop.call_later(pause_seconds, stall)
    try:
        yield
    finally:
        timer.cancel()


async def asked(it: Service, seconds: float) -> int:
    async with it.world.databases.general.session() as session:
        return int(await session.scalar(PIDS, {"seconds": seconds}) or 0)


@pytest.mark.slow
@pytest.mark.parametrize("pause_seconds", [0.01, 0.07, 0.2])
@bounded
async def test_a_stalled_loop_cuts_nothing(
    it: Service, pause_seconds: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """The queries are under way meanwhile, some for so long that the server is asked about them."""
    seconds = [0, 0.2, 2]
    before = await asyncio.gather(*(asked(it, one) for one in seconds))
    async with stalling(pause_seconds):
        after = await asyncio.gather(*(asked(it, one) for one in seconds))
    assert pgbouncer.IS_WANTED or sorted(before) == sorted(after)  # whose servers are its own
    logged = capsys.readouterr().err
    assert not events(logged, "database_silent")
    assert not events(logged, "connections_forgotten")


@bounded
async def test_the_question_itself_is_heard_out(settings: Settings) -> None:
    idle: list[Idle] = []

    def judge(found: Idle) -> list[Backend]:
        idle.append(found)
        return []

    hasty = settings.model_copy(update={"health_timeout_seconds": STALL_SECONDS / 2})
    async with stalling(0.01):
        await asking(hasty, "general")(judge)
    assert len(idle) == (not pgbouncer.IS_WANTED)


@bounded
async def test_health_is_not_lost_for_it(it: Service) -> None:
    async with stalling(0.01):
        assert (await it.world.nobody.get("/health/ready")).status_code == 200


@bounded
async def test_a_silence_is_noticed_all_the_same(
    it: Service, proxy: Proxy, capsys: pytest.CaptureFixture[str]
) -> None:
    alice = await it.world.member()
    path = f"/v1/chat-sessions/{(await a_session(alice))['id']}"
    proxy.is_black_hole = True
    async with stalling(0.01):
        assert (await alice.http.get(path)).status_code == 503
    assert events(capsys.readouterr().err, "database_silent")


@bounded
async def test_a_timeout_takes_its_time_where_nothing_stalls() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with awake_timeout(0.2):
            await asyncio.Event().wait()
    assert 0.2 <= time.monotonic() - began < 2
