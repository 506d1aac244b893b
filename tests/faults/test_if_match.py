"""One of many who have seen the same state changes it, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import httpx
import pytest

from tests.support.conversation import a_conversation, if_match
from tests.support.factories import World
from tests.support.servers import Servers, run

CLIENTS, ROUNDS = 6, 6
PAUSE_SECONDS = 0.05
TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE usename = 'bicameral_app' AND datname = current_database()
"""
Write = Callable[[], Awaitable[httpx.Response]]


@pytest.fixture
async def database(servers: Servers, database: str) -> str:
    """Give the test's own, whose commits are written before they are reported, like an operator's.

    The run's servers may forget the last commits when they are killed, and a conversation that is
    back in an earlier state rightly takes its earlier tag again. It is set before the service
    connects.
    """
    await run(servers.general, f"ALTER DATABASE {database} SET synchronous_commit = on")
    return database


async def until_known(write: Write) -> int:
    """Send it again until the answer tells whether it was done."""
    while (answer := await write()).status_code == 503:  # noqa: ASYNC110  nobody tells when
        await asyncio.sleep(PAUSE_SECONDS)
    return answer.status_code


async def test_of_many_with_one_tag_exactly_one_wins(
    world: World, servers: Servers, database: str
) -> None:
    """The service loses its connections in each round, and in the last one the server is killed.

    A winner whose answer was lost is told 412 at the next try: their own write has changed it.
    """
    alice = await world.member()
    chat = await a_conversation(alice, "a")

    def writes(tag: str) -> list[Write]:
        body = {"role": "user", "content": "b"}
        return [
            lambda: chat.edit(1, content="c", tag=tag),
            lambda: alice.http.post(chat.messages, json=body, headers=if_match(tag)),
            lambda: chat.edit(1, status="incomplete", tag=tag),
        ] * (CLIENTS // 3)

    async def terminate() -> None:
        general = await asyncpg.connect(servers.general.url(database))
        for _ in range(5):
            await general.execute(TERMINATE)
        await general.close()

    async def kill() -> None:
        await asyncio.to_thread(servers.general.kill)
        await asyncio.to_thread(servers.general.start)

    for number in range(1, ROUNDS + 1):
        tag = (await chat.get(1)).headers["etag"]
        fault = kill() if number == ROUNDS else terminate()
        _, *statuses = await asyncio.gather(fault, *map(until_known, writes(tag)))
        assert set(statuses) <= {200, 201, 412}
        assert len([one for one in statuses if one != 412]) <= 1
        answer = await alice.http.get(chat.path)
        while answer.status_code == 503:
            answer = await alice.http.get(chat.path)
        version = int(answer.headers["etag"].strip('"').split("-")[0])
        assert version == 1 + number  # the first message's, and one a round
