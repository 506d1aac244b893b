"""Single statements and sessions share connections; some are used again, others never."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import asyncpg
import pytest
from sqlalchemy import text

from app.databases.database import Database, Databases
from app.databases.sessions import GeneralSession
from app.databases.statement import Statement
from app.http.problems import to_problem
from tests.support.pgbouncer import only_directly
from tests.support.pool_faults import faults
from tests.support.proxy import Proxy, proxied
from tests.support.servers import Servers, run, settings_for
from tests.support.wire import bounded, locked

# A single value would not come as a tuple, which a statement's values must.
WHO = Statement(text("SELECT pg_backend_pid() AS pid, CAST(:a AS text), CAST(:b AS text)"))
WRONG = Statement(text("SELECT 1 / CAST(:a AS integer), CAST(:b AS text)"))
WAITS = Statement(text("SELECT pg_advisory_xact_lock(:a), pg_advisory_xact_lock(:b)"))
SLEEPS = Statement(text("SELECT pg_sleep(:a), pg_sleep(:b)"))
TWICE = Statement(text("SELECT * FROM twice(CAST(:a AS int), CAST(:b AS int))"))
MADE = """
CREATE FUNCTION twice(a int, b int, OUT first {kind}, OUT second {kind}) LANGUAGE SQL
RETURN (CAST(a AS {kind}), CAST(b AS {kind}));
GRANT EXECUTE ON FUNCTION twice TO PUBLIC
"""
LOCK = "SELECT pg_advisory_lock(1)"
ONE = {"db_pool_size": 1, "db_max_overflow": 0}
FAR = {"db_statement_timeout_seconds": 600, "db_lock_timeout_seconds": 600, **ONE}
General = Database[GeneralSession]

pytestmark = only_directly("PgBouncer's connections to the servers are not the service's")


@pytest.fixture
async def general(servers: Servers, database: str) -> AsyncIterator[General]:
    """With a single connection."""
    databases = Databases.create(settings_for(servers, database, **FAR, db_pool_timeout=0.2))
    yield databases.general
    await databases.dispose()


async def who(general: General) -> int:
    pid: int = (await general.fetch(WHO, {"a": "", "b": ""}))[0]["pid"]
    return pid


async def test_one_connection_is_enough_for_many_requests(general: General) -> None:
    assert len(set(await asyncio.gather(*(who(general) for _ in range(20))))) == 1


async def test_an_error_of_the_servers_costs_no_connection(general: General) -> None:
    before = await who(general)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await general.fetch(WRONG, {"a": 0, "b": ""})
    assert await who(general) == before


async def test_a_function_that_comes_to_return_other_columns_fails_no_request(
    general: General, servers: Servers, database: str
) -> None:
    """The statement that was prepared on the connection expects the columns of before."""
    values = {"a": 1, "b": 2}
    await run(servers.general, MADE.format(kind="int"), database)
    assert [tuple(row) for row in await general.fetch(TWICE, values)] == [(1, 2)]
    await run(servers.general, "DROP FUNCTION twice; " + MADE.format(kind="bigint"), database)
    assert [tuple(row) for row in await general.fetch(TWICE, values)] == [(1, 2)]


@bounded
async def test_a_connection_whose_statement_was_cancelled_is_not_used_again(
    general: General, servers: Servers, database: str
) -> None:
    """The server may hear of it late, and then cancel what comes next."""
    general.pool.ends_within_seconds = 0.01
    before = await who(general)
    async with locked(servers, database, LOCK) as lock:
        waiting = asyncio.ensure_future(general.fetch(WAITS, {"a": 1, "b": 1}))
        await lock.has_waiting(1)
        waiting.cancel()
        assert await who(general) != before
        await lock.has_waiting(0)


@bounded
async def test_a_statement_that_nobody_waits_for_ends_by_itself_if_it_is_short(
    general: General, servers: Servers, database: str
) -> None:
    """A crowd that hangs up would else have every connection closed, and as many opened."""
    general.pool.ends_within_seconds = 20
    before = await who(general)
    async with locked(servers, database, LOCK) as lock:
        waiting = asyncio.ensure_future(general.fetch(WAITS, {"a": 1, "b": 1}))
        await lock.has_waiting(1)
        waiting.cancel()
    assert await faults(general) == []
    assert await who(general) == before


@bounded
async def test_waiting_in_vain_for_a_connection_is_an_error(
    general: General, servers: Servers, database: str
) -> None:
    async with locked(servers, database, LOCK) as lock:
        waiting = asyncio.ensure_future(general.fetch(WAITS, {"a": 1, "b": 1}))
        await lock.has_waiting(1)
        with pytest.raises(TimeoutError) as caught:
            await who(general)
        assert to_problem(caught.value).status == 503
        assert general.pool.usage() == (1, 0, 0)
    await waiting
    assert general.pool.usage() == (0, 1, 0)


@bounded
async def test_an_old_connection_is_replaced(servers: Servers, database: str) -> None:
    """The sessions' connections are replaced, too."""
    short = settings_for(servers, database, db_pool_recycle_seconds=1)
    databases = Databases.create(short)
    old = await everyone(databases.general)
    await run(servers.user, "SELECT pg_sleep(1.1)")
    new = await everyone(databases.general)
    assert set(old).isdisjoint(new)
    await databases.dispose()


async def everyone(general: General) -> Sequence[int]:
    async with general.session() as session:
        own = await session.scalar(text("SELECT pg_backend_pid()"))
    return [own or 0, await who(general)]


@bounded
async def test_a_connection_that_cannot_be_closed_in_order_is_closed(
    servers: Servers, database: str
) -> None:
    async with proxied(servers.general.port) as proxy:
        general = through(proxy, servers, database)
        await who(general)
        sleeping = asyncio.ensure_future(general.fetch(SLEEPS, {"a": 600, "b": 0}))
        await carried(proxy)
        proxy.is_black_hole = True
        sleeping.cancel()
        await asyncio.wait({sleeping})
        await general.dispose()
        assert general.pool.usage() == (0, 0, 0)


def through(proxy: Proxy, servers: Servers, database: str) -> General:
    url = f"postgresql://bicameral_app@127.0.0.1:{proxy.port}/{database}"
    settings = settings_for(servers, database, **FAR | {"database_url_general": url})
    return Databases.create(settings).general


async def carried(proxy: Proxy) -> None:
    """The next thing that is sent has passed."""
    before = proxy.carried
    while proxy.carried == before:  # noqa: ASYNC110  the proxy has no event for it
        await asyncio.sleep(0)
