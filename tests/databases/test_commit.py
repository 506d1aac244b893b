"""A 2xx is committed: the answer waits for COMMIT, and a COMMIT that fails is an error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import asyncpg
import httpx
import pytest

from tests.support.factories import World, a_session
from tests.support.servers import Servers, run

# What these do happens in COMMIT itself, when every statement has succeeded.
AT_COMMIT = """
CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN {} RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON {}
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION at_commit();
"""
REFUSES = "RAISE EXCEPTION 'no' USING ERRCODE = '23514';"
WAITS = "PERFORM pg_sleep(600);"
DIES = "PERFORM pg_terminate_backend(pg_backend_pid());"
IN_COMMIT = """
SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND wait_event = 'PgSleep'
"""


# A session's COMMIT, and a hot route's one statement, which commits by itself.
pytestmark = pytest.mark.parametrize("table", ["chat_sessions", "messages"])


async def test_a_refused_commit_is_an_error(
    world: World, servers: Servers, database: str, table: str
) -> None:
    write = await a_writer(world, table)
    before = await _stored(servers, database, table)
    await run(servers.general, AT_COMMIT.format(REFUSES, table), database)
    assert (await write()).status_code == 422
    assert await _stored(servers, database, table) == before
    await run(servers.general, "DROP FUNCTION at_commit CASCADE", database)
    assert (await write()).status_code == 201
    assert await _stored(servers, database, table) == before + 1


async def test_a_connection_lost_in_commit_is_an_error(
    world: World, servers: Servers, database: str, table: str
) -> None:
    write = await a_writer(world, table)
    before = await _stored(servers, database, table)
    await run(servers.general, AT_COMMIT.format(DIES, table), database)
    response = await write()
    assert response.status_code == 503
    assert response.headers["retry-after"]
    assert await _stored(servers, database, table) == before


async def test_a_server_killed_before_commit_is_an_error(
    world: World, servers: Servers, database: str, table: str
) -> None:
    """Killed with -9 while COMMIT runs; the row is not there when it is back."""
    write = await a_writer(world, table)
    before = await _stored(servers, database, table)
    await run(servers.general, AT_COMMIT.format(WAITS, table), database)
    answer = asyncio.create_task(write())
    await _until_in_commit(servers, database, answer)
    await asyncio.to_thread(servers.general.kill)
    try:
        assert (await answer).status_code == 503
    finally:
        await asyncio.to_thread(servers.general.start)
    assert await _stored(servers, database, table) == before


async def a_writer(world: World, table: str) -> Callable[[], Coroutine[Any, Any, httpx.Response]]:
    """Sends what inserts a row there."""
    alice = await world.member()
    path, body = "/v1/chat-sessions", dict[str, str]()
    if table == "messages":
        session = await a_session(alice)
        path, body = f"{path}/{session['id']}/messages", {"role": "user", "content": "Hello"}

    async def write() -> httpx.Response:
        return await alice.http.post(path, json=body)

    return write


async def _stored(servers: Servers, database: str, table: str) -> int:
    connection = await asyncpg.connect(servers.general.url(database))
    try:
        return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))
    finally:
        await connection.close()


async def _until_in_commit(
    servers: Servers, database: str, answer: asyncio.Task[httpx.Response]
) -> None:
    connection = await asyncpg.connect(servers.general.url())
    try:
        while not await connection.fetchval(IN_COMMIT, database):
            assert not answer.done(), answer.result().text
    finally:
        await connection.close()
