"""Each timeout on its own: all others are far away, and without it the test would hang."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.databases.causes import sqlstate
from app.databases.database import Databases
from app.http.problems import to_problem
from tests.support import pgbouncer
from tests.support.pool_faults import faults
from tests.support.proxy import proxied
from tests.support.servers import Servers, settings_for
from tests.support.wire import bounded

FAR = {
    "db_statement_timeout_seconds": 600,
    "db_lock_timeout_seconds": 600,
    "db_idle_in_transaction_seconds": 600,
    "db_connect_timeout_seconds": 600,
    "db_pool_timeout": 600,
    "db_silence_seconds": 600,
}
SOON_SECONDS = 4  # less than any of the defaults
LOCK = text("SELECT pg_advisory_xact_lock(1)")


def databases(servers: Servers, database: str, **near: object) -> Databases:
    return Databases.create(settings_for(servers, database, **FAR | near))


@contextmanager
def soon() -> Generator[None]:
    """Fail whoever takes longer, which has not listened to the setting."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SOON_SECONDS


async def is_unavailable(databases: Databases, statement: str) -> BaseException:
    with soon(), pytest.raises(Exception) as caught:  # noqa: PT011  whatever it is, this is its answer
        async with databases.general.session() as session:
            await session.execute(text(statement))
    assert to_problem(caught.value).status == 503
    assert await faults(databases.general) == []
    return caught.value


@bounded
async def test_a_statement_that_takes_too_long_is_503(servers: Servers, database: str) -> None:
    both = databases(servers, database, db_statement_timeout_seconds=0.2)
    error = await is_unavailable(both, "SELECT pg_sleep(600)")
    assert sqlstate(error)[0] == "57014", "the server has ended it"
    await both.general.dispose()


@bounded
async def test_a_lock_that_is_waited_for_too_long_is_503(servers: Servers, database: str) -> None:
    both = databases(servers, database, db_lock_timeout_seconds=0.2)
    async with both.general.session() as holder:
        await holder.execute(LOCK)
        with soon(), pytest.raises(Exception) as caught:  # noqa: PT011  as above
            async with both.general.session() as session:
                await session.execute(LOCK)
    assert to_problem(caught.value).status == 503
    assert await faults(both.general) == []
    await both.general.dispose()


@bounded
async def test_a_transaction_left_idle_is_ended(servers: Servers, database: str) -> None:
    both = databases(servers, database, db_idle_in_transaction_seconds=0.2)
    ended = asyncio.Event()
    async with both.general.engine.connect() as one:
        await one.execute(text("SELECT 1"))
        raw: Any = (await one.get_raw_connection()).driver_connection

        def end(_: object) -> None:
            ended.set()

        (await raw.taken()).add_termination_listener(end)
        with soon():
            await ended.wait()
        with pytest.raises(DBAPIError) as caught:
            await one.execute(text("SELECT 1"))
    assert to_problem(caught.value).status == 503
    await both.general.dispose()


@bounded
async def test_a_pool_without_a_free_connection_is_503(servers: Servers, database: str) -> None:
    near = {"db_pool_timeout": 0.2, "db_pool_size": 1, "db_max_overflow": 0}
    both = databases(servers, database, **near)
    async with both.general.session() as holder:
        await holder.execute(text("SELECT 1"))
        with soon(), pytest.raises(Exception) as caught:  # noqa: PT011  as above
            async with both.general.session() as session:
                await session.execute(text("SELECT 1"))
    assert to_problem(caught.value).status == 503
    assert await faults(both.general) == []
    await both.general.dispose()


@pytest.mark.parametrize("by_url", [False, True])
@bounded
async def test_a_connection_that_does_not_open_is_503(
    servers: Servers, database: str, by_url: bool
) -> None:
    async with proxied(pgbouncer.port(servers.general)) as proxy:
        proxy.is_black_hole = True
        url = pgbouncer.url_at(proxy.port, database)
        near: dict[str, object] = {"database_url_general": url, "db_connect_timeout_seconds": 0.2}
        if by_url:
            near = {"database_url_general": f"{url}?connect_timeout=1"}
        both = databases(servers, database, **near)
        with soon(), pytest.raises(TimeoutError) as caught:
            async with both.general.session() as session:
                await session.execute(text("SELECT 1"))
        assert to_problem(caught.value).status == 503
