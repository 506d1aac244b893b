"""A 2xx is committed: the answer waits for COMMIT, and a COMMIT that fails is an error."""

from __future__ import annotations

import asyncio

import asyncpg
import httpx

from tests.conftest import Servers, run
from tests.factories import Someone, World

# What these do happens in COMMIT itself, when every statement has succeeded.
AT_COMMIT = """
CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN {} RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON chat_sessions
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION at_commit();
"""
REFUSES = "RAISE EXCEPTION 'no' USING ERRCODE = '23514';"
WAITS = "PERFORM pg_sleep(600);"
DIES = "PERFORM pg_terminate_backend(pg_backend_pid());"
IN_COMMIT = """
SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND wait_event = 'PgSleep'
"""


async def test_a_refused_commit_is_an_error(world: World, servers: Servers, database: str) -> None:
    alice = await world.member()
    await run(servers.general, AT_COMMIT.format(REFUSES), database)
    response = await _open(alice)
    assert response.status_code == 422
    assert await _stored(servers, database) == 0
    await run(servers.general, "DROP FUNCTION at_commit CASCADE", database)
    assert (await _open(alice)).status_code == 201
    assert await _stored(servers, database) == 1


async def test_a_connection_lost_in_commit_is_an_error(
    world: World, servers: Servers, database: str
) -> None:
    alice = await world.member()
    await run(servers.general, AT_COMMIT.format(DIES), database)
    response = await _open(alice)
    assert response.status_code == 503
    assert response.headers["retry-after"]
    assert await _stored(servers, database) == 0


async def test_a_server_killed_before_commit_is_an_error(
    world: World, servers: Servers, database: str
) -> None:
    """Killed with -9 while COMMIT runs; the row is not there when it is back."""
    alice = await world.member()
    await run(servers.general, AT_COMMIT.format(WAITS), database)
    answer = asyncio.create_task(_open(alice))
    await _until_in_commit(servers, database, answer)
    await asyncio.to_thread(servers.general.kill)
    try:
        assert (await answer).status_code == 503
    finally:
        await asyncio.to_thread(servers.general.start)
    assert await _stored(servers, database) == 0


async def _open(someone: Someone) -> httpx.Response:
    return await someone.http.post("/v1/chat-sessions", json={})


async def _stored(servers: Servers, database: str) -> int:
    connection = await asyncpg.connect(servers.general.url(database))
    try:
        return int(await connection.fetchval("SELECT count(*) FROM chat_sessions"))
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
