"""A block holds from its commit for what is under way here, too: nothing is stored after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import asyncpg
import httpx
import pytest

from app.chat.writes import HOLDS_SECONDS
from app.http.idempotency import HEADER
from tests.support.conversation import a_conversation
from tests.support.factories import Someone, World, a_session
from tests.support.locks import PATIENCE_SECONDS, lock_rows, until_waiting
from tests.support.logins import superuser
from tests.support.opened import opened
from tests.support.outages import freeze, thaw
from tests.support.pgbouncer import only_directly
from tests.support.servers import Servers

MESSAGE = {"role": "user", "content": "Late"}
KEY = {HEADER: "k"}
Write = Callable[[httpx.AsyncClient, str], Coroutine[Any, Any, httpx.Response]]


def to(way: str, body: object, **headers: str) -> Write:
    """A write of that method and path; `{}` is a conversation's."""
    method, path = way.split()
    return lambda http, chat: http.request(method, path.format(chat), json=body, headers=headers)


class Counts(NamedTuple):
    """Counts the rows of all, and those that say what only a late write says."""

    messages: int
    sessions: int
    edited: int
    renamed: int
    keys: int


# Each with the table whose rows it waits for.
WRITES: dict[str, tuple[str, Write]] = {
    "message": ("chat_sessions", to("POST {}/messages", MESSAGE)),
    "message, keyed": ("chat_sessions", to("POST {}/messages", MESSAGE, **KEY)),
    "batch": ("chat_sessions", to("POST {}/messages/batch", {"messages": [MESSAGE] * 3})),
    "session": ("owners", to("POST /v1/chat-sessions", {"title": "New"})),
    "session, keyed": ("owners", to("POST /v1/chat-sessions", {"title": "New"}, **KEY)),
    "named session": ("owners", to("PUT /v1/chat-sessions/by-external-id/x", None)),
    "fork": ("chat_sessions", to("POST {}/fork", None)),
    "rename": ("chat_sessions", to("PATCH {}", {"title": "Late"})),
    "delete": ("chat_sessions", to("DELETE {}", None)),
    "edit": ("chat_sessions", to("PATCH {}/messages/1", {"content": "Edited"})),
    "cut": ("chat_sessions", to("DELETE {}/messages?after=0", None)),
}
every_write = pytest.mark.parametrize("write", WRITES)


@every_write
async def test_a_write_that_waited_across_a_block_is_refused(
    world: World, servers: Servers, database: str, write: str
) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    table, send = WRITES[write]
    path = (await a_conversation(alice, "Hello")).path
    async with superuser(servers.general.url(database)) as general:
        before = await counted(servers, database)
        async with held(general, table):
            late = asyncio.create_task(send(alice.http, path))
            await until_waiting(general)
            await block(boss, alice)
            await until_waiting(general, seconds=HOLDS_SECONDS)
        answer = await late
        assert answer.status_code == 401, answer.text
        assert await counted(servers, database) == before


@every_write
async def test_control_without_a_block_it_is_done_once(
    world: World, servers: Servers, database: str, write: str
) -> None:
    """The look-up has grown too old as well; who is looked up again is as they were."""
    alice = await world.member()
    table, send = WRITES[write]
    path = (await a_conversation(alice, "Hello")).path
    async with superuser(servers.general.url(database)) as general:
        async with held(general, table):
            late = asyncio.create_task(send(alice.http, path))
            await until_waiting(general, seconds=HOLDS_SECONDS)
        answer = await late
        assert answer.is_success, answer.text
        messages, sessions, edited, renamed, keys = await counted(servers, database)
    new_messages = {"message": 1, "message, keyed": 1, "batch": 3, "fork": 1}
    new_sessions = {"session": 1, "session, keyed": 1, "named session": 1, "fork": 1}
    assert messages == 1 + (new_messages | {"delete": -1, "cut": -1}).get(write, 0)
    assert sessions == 1 + (new_sessions | {"delete": -1}).get(write, 0)
    assert (edited, renamed, keys) == (write == "edit", write == "rename", "keyed" in write)


@only_directly("PgBouncer asks the frozen server by itself")
@pytest.mark.parametrize("write", ["message", "message, keyed", "batch", "session"])
async def test_a_write_sent_to_a_server_that_stood_still_across_a_block_is_refused(
    world: World, servers: Servers, database: str, write: str
) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    _, send = WRITES[write]
    path = f"/v1/chat-sessions/{(await a_session(alice))['id']}"
    before = await counted(servers, database)
    await freeze(servers.general)
    try:
        late = asyncio.create_task(send(alice.http, path))
        await until_sent(world)
        await block(boss, alice)
        await asyncio.sleep(HOLDS_SECONDS)  # it is the time that makes a look-up too old
    finally:
        await thaw(servers.general)
    answer = await late
    assert answer.status_code == 401, answer.text
    assert await counted(servers, database) == before


async def test_who_cannot_be_looked_up_again_is_told_to_come_back(
    world: World, servers: Servers, database: str
) -> None:
    """The user database went away meanwhile: 503, and nothing is stored."""
    alice = await world.member()
    path = f"/v1/chat-sessions/{(await a_session(alice))['id']}"
    async with superuser(servers.general.url(database)) as general:
        before = await counted(servers, database)
        try:
            async with held(general, "chat_sessions"):
                late = asyncio.create_task(alice.http.post(f"{path}/messages", json=MESSAGE))
                await until_waiting(general)
                await asyncio.to_thread(servers.user.kill)
                await until_waiting(general, seconds=HOLDS_SECONDS)
            answer = await late
        finally:
            await asyncio.to_thread(servers.user.start)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert await counted(servers, database) == before


async def block(boss: Someone, someone: Someone) -> None:
    answer = await boss.http.post(f"/v1/users/{someone.id}/block")
    assert answer.status_code == 200, answer.text


async def until_sent(world: World) -> None:
    """Return when the service waits for the general database."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not world.databases.general.pool.usage().in_use:  # noqa: ASYNC110  the pool tells nobody
            await asyncio.sleep(0)


async def counted(servers: Servers, database: str) -> Counts:
    async with opened(servers, database) as opener:
        said = [one.content for one in await opener.messages()]
        titles = [one.title for one in await opener.sessions()]
        keys = await opener.general.fetchval("SELECT count(*) FROM general_idempotency_keys")
    return Counts(len(said), len(titles), said.count("Edited"), titles.count("Late"), keys)


@asynccontextmanager
async def held(general: asyncpg.Connection, table: str) -> AsyncGenerator[None]:
    """Whoever writes these rows waits until the end of the block."""
    async with general.transaction():
        await lock_rows(general, table)
        yield
