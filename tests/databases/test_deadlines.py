"""A deadline of ours in the server's clock: of the very connection that is used, and never late."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from app.databases.connection import TenantConnection
from app.databases.database import Database, Databases, GeneralSession
from app.databases.sessions import not_after_for
from app.databases.statement import Statement
from tests.support import pgbouncer
from tests.support.factories import World, a_message, a_session
from tests.support.proxy import proxied
from tests.support.servers import Servers, settings_for
from tests.support.wire import bounded

MANY = 5  # connections, all that the pool keeps
SLOW = 0.2  # seconds, each way; a question beside it takes far less
GIVEN = Statement(text("SELECT CAST(:not_after AS timestamptz) AS given, CAST(:a AS text)"))
General = Database[GeneralSession]


@pytest.fixture
async def general(servers: Servers, database: str) -> AsyncIterator[General]:
    """Behind a slow line."""
    async with proxied(pgbouncer.port(servers.general)) as proxy:
        proxy.latency_seconds = proxy.upward_seconds = SLOW
        url = pgbouncer.url_at(proxy.port, database)
        databases = Databases.create(settings_for(servers, database, database_url_general=url))
        yield databases.general
        await databases.dispose()


@pytest.fixture
async def witness(servers: Servers, database: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(servers.general.url(database))
    yield connection
    await connection.close()


async def by_statement(general: General, moment: float) -> datetime:
    [row] = await general.fetch(GIVEN, {"a": ""}, not_after=moment)
    return row["given"]


async def by_session(general: General, moment: float) -> datetime:
    async with general.session() as session:
        return await not_after_for(session, moment)


@pytest.mark.slow
@pytest.mark.parametrize("given", [by_statement, by_session])
@bounded
async def test_a_deadline_is_the_servers_time_or_a_little_earlier(
    general: General, witness: Any, given: Any
) -> None:
    moment = time.monotonic()
    now: datetime = await witness.fetchval("SELECT clock_timestamp()")
    estimate = await given(general, moment)
    assert now - timedelta(seconds=2 * SLOW) < estimate <= now


@bounded
async def test_without_a_deadline_the_parameter_is_null(general: General) -> None:
    [row] = await general.fetch(GIVEN, {"a": ""})
    assert row["given"] is None


@bounded
async def test_a_servers_clock_that_was_set_forward_refuses_nobody(world: World) -> None:
    """Each connection was opened before, and what it has read of the clock is an hour old."""
    alice = await world.member()
    session = await a_session(alice)
    path = f"/v1/chat-sessions/{session['id']}"
    pool = world.databases.general.pool
    held = [await pool.take() for _ in range(MANY)]
    for connection in held:
        assert connection.epoch != TenantConnection.epoch  # it was read
        connection.epoch -= timedelta(hours=1)
        pool.give_back(connection)
    assert (await a_message(alice, session["id"]))["position"] == 1
    assert (await alice.http.patch(path, json={"title": "Later"})).status_code == 200
    again = [await pool.take() for _ in range(MANY)]
    assert not set(held) & set(again)
    for connection in again:
        pool.give_back(connection)
