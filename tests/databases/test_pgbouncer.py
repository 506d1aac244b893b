"""Behind PgBouncer in transaction mode: servers change hands after every transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack
from typing import Any

import asyncpg
import pytest
from litestar import Litestar
from sqlalchemy import text

from app.config.settings import Settings
from app.databases.database import Database, Databases
from app.databases.opening import connector, open_connection
from app.databases.sessions import UserSession
from app.databases.statement import Statement
from app.server import create_app
from tests.support import pgbouncer
from tests.support.factories import Someone, World, a_message, a_session
from tests.support.logins import superuser
from tests.support.outages import frozen
from tests.support.servers import LOUD, Servers, alive, settings_for

pytestmark = pytest.mark.skipif(
    not pgbouncer.PROGRAM, reason=f"{LOUD}: pgbouncer is not installed (apt-get install pgbouncer)"
)
Sleep = Callable[[Database[UserSession]], Coroutine[Any, Any, None]]
ROUNDS = 4
SUM = Statement(text("SELECT CAST(:one AS int) + CAST(:two AS int)"))
VALUES = {"one": 1, "two": 2}
SLEEP = Statement(text("SELECT pg_sleep(CAST(:one AS float) * CAST(:two AS float))"))
SLEEPING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
LIMITS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "jit")


def behind(servers: Servers, database: str, ports: list[int], **more: object) -> Settings:
    urls = [pgbouncer.url_at(port, database) for port in ports]
    places = {"database_url_user": urls[0], "database_url_general": urls[1]}
    return settings_for(servers, database, **places, **pgbouncer.UNPREPARED | more)


@pytest.fixture
def shared(servers: Servers, database: str) -> Iterator[Settings]:
    """All of the service's connections share a single one to each server."""
    with ExitStack() as stack:
        ports = [stack.enter_context(pgbouncer.pgbouncer(one, pool_size=1)) for one in servers]
        yield behind(servers, database, ports)


@pytest.fixture
async def app(shared: Settings) -> AsyncIterator[Litestar]:
    service = create_app(shared)
    async with alive(service):
        yield service


async def test_two_tenants_on_one_server_connection_never_meet(
    world: World, shared: Settings
) -> None:
    members = [await world.someone("\\acme\\alice"), await world.someone("\\globex\\bob")]
    await asyncio.gather(*(talk(one) for one in members for _ in range(ROUNDS)))
    for one in members:
        page = (await one.http.get("/v1/chat-sessions")).json()["items"]
        assert [session["title"] for session in page] == [one.username] * ROUNDS
    async with world.databases.user.session() as first, world.databases.user.session() as second:
        # The second would wait for the first one's server, were it still within its transaction.
        await first.execute(text("SELECT 1"))
        await first.commit()
        assert await second.scalar(text("SELECT current_setting('app.tenant_id', true)")) == ""
    ready = await world.nobody.get("/health/ready")
    assert ready.json()["status"] == "healthy", ready.text


async def talk(one: Someone) -> None:
    """Sessions and hot routes; every answer is this tenant's own."""
    session = await a_session(one, one.username)
    path = f"/v1/chat-sessions/{session['id']}"
    await a_message(one, session["id"], one.username)
    batch = {"messages": [{"role": "user", "content": one.username}] * 3}
    assert (await one.http.post(f"{path}/messages/batch", json=batch)).status_code == 201
    assert (await one.http.get(path)).json()["title"] == one.username
    page = (await one.http.get(f"{path}/messages")).json()["items"]
    assert [message["content"] for message in page] == [one.username] * 4
    assert (await one.http.get("/v1/me")).json()["username"] == one.username


async def test_each_transaction_brings_its_timeouts_along(shared: Settings) -> None:
    """Its own connection's, whoever had the server before; it leaves none behind."""
    hasty = shared.model_copy(update={"db_statement_timeout_seconds": 7})
    for settings, seconds in ((hasty, 7), (shared, 15)):
        connection = await open_connection(settings, "user")
        shown = [await connection.fetchval(f"SHOW {name}") for name in LIMITS]
        assert shown == [f"{seconds}s", "5s", "30s", "off"]
        await connection.close()
    stranger = await asyncpg.connect(shared.url("user").dsn, statement_cache_size=0)
    assert await stranger.fetchval("SHOW statement_timeout") == "0"
    await stranger.close()


async def test_a_statement_by_itself_has_its_timeouts_too(shared: Settings) -> None:
    """Without a transaction the server would be handed on before they are set."""
    user = Databases.create(shared).user
    async with user.one_statement() as one:
        assert await one.scalar(text("SHOW statement_timeout")) == "15s"
    await user.dispose()


@pytest.mark.parametrize("prepared", [False, True])
async def test_a_statement_finds_the_server_it_was_prepared_on(
    servers: Servers, database: str, prepared: bool
) -> None:
    """The control is the default setting: there it is prepared on one, and run on another."""
    with pgbouncer.pgbouncer(
        servers.general, pool_size=2, ignored=",".join(LIMITS) * prepared
    ) as port:
        ports = [servers.user.port, port]
        settings = behind(servers, database, ports, db_prepared_statements=prepared)
        databases = Databases.create(settings)
        try:
            await databases.general.fetch(SUM, VALUES)
            first = await databases.general.pool.take()
            async with databases.general.session() as other:  # takes that server
                await other.execute(text("SELECT 2"))
                databases.general.pool.give_back(first)
                again: Any = databases.general.fetch(SUM, VALUES)
                if prepared:
                    with pytest.raises(asyncpg.InvalidSQLStatementNameError):
                        await again
                else:
                    assert [tuple(row) for row in await again] == [(3,)]
        finally:
            await databases.dispose()


async def directly(user: Database[UserSession]) -> None:
    await user.fetch(SLEEP, {"one": 600, "two": 1})


async def in_a_session(user: Database[UserSession]) -> None:
    async with user.session() as session:
        await session.execute(SLEEP.clause, {"one": 600, "two": 1})


@pytest.mark.parametrize("sleep", [directly, in_a_session])
async def test_a_statement_given_up_is_stopped_and_pgbouncer_lives(
    servers: Servers, database: str, sleep: Sleep
) -> None:
    """The server is frozen meanwhile: a request to cancel would be there when it wakes up."""
    with pgbouncer.pgbouncer(servers.user, pool_size=5) as port:
        ports = [port, servers.general.port]
        settings = behind(servers, database, ports, db_statement_timeout_seconds=600)
        user = Databases.create(settings).user
        async with superuser(servers.user.url(database)) as witness, asyncio.timeout(20):
            given_up = asyncio.create_task(sleep(user))
            while not await witness.fetchval(SLEEPING):
                pass  # each question is a round trip, so this is no busy loop
            async with frozen(servers.user, database):
                given_up.cancel()
                await asyncio.wait({given_up})
                await user.dispose()
            while await witness.fetchval(SLEEPING):
                pass
            assert [tuple(row) for row in await user.fetch(SUM, VALUES)] == [(3,)]
        await user.dispose()


async def test_session_parameters_are_refused(servers: Servers, database: str) -> None:
    with pgbouncer.pgbouncer(servers.general, pool_size=1) as port:
        ports = [servers.user.port, port]
        settings = behind(servers, database, ports, db_prepared_statements=True)
        with pytest.raises(asyncpg.ProtocolViolationError, match="unsupported startup parameter"):
            await open_connection(settings, "general")


async def test_a_pooler_that_nobody_declared_shows_no_backend(
    servers: Servers, database: str
) -> None:
    """The process it names is made up, and the one that serves us may next serve others."""
    with pgbouncer.pgbouncer(servers.user, pool_size=1, ignored=",".join(LIMITS)) as port:
        ports = [port, servers.general.port]
        settings = behind(servers, database, ports, db_prepared_statements=True)
        pooled, direct = [await connector(settings, name)() for name in ("user", "general")]
        assert pooled.backend is None
        assert direct.backend
        pooled.terminate()
        direct.terminate()
