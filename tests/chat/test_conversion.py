"""Rows are sealed and unsealed while people edit: nothing that can be read changes or is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from app.bridge.sealing.keys import Keys
from app.chat.conversion import convert
from app.config.settings import Settings
from app.databases.sealing.person_keys import PersonKey
from app.server import create_app
from tests.support.factories import Someone, World
from tests.support.sealed import MARK, SESSIONS, asked, found
from tests.support.sealing import master_keys
from tests.support.servers import Servers, alive, settings_for

TABLES = ("chat_sessions", "messages", "general_idempotency_keys")
MINE = {name: f"SELECT * FROM {name} WHERE user_id = $1 ORDER BY 1, 2, 3" for name in TABLES} | {
    "messages": "SELECT m.* FROM messages m JOIN chat_sessions s ON s.id = m.session_id"
    " WHERE s.user_id = $1 ORDER BY m.id"
}


@pytest.fixture
def settings(servers: Servers, database: str) -> Settings:
    return settings_for(servers, database, seal_keys=None)


@asynccontextmanager
async def with_a_key(servers: Servers, database: str) -> AsyncGenerator[World]:
    """Start another process of the same installation, which has a master key."""
    service = create_app(settings_for(servers, database, seal_keys=master_keys("one")))
    transport = httpx.ASGITransport(app=service)  # pyright: ignore[reportArgumentType]  # ASGI is ASGI
    async with alive(service), httpx.AsyncClient(transport=transport, base_url="http://b") as http:
        yield World(service, http)


async def begin(sealed: World, someone: Someone) -> tuple[Someone, PersonKey]:
    """Begin to seal; give the person at the process that does, and their key."""
    settings: Settings = sealed.app.state.settings
    keys = Keys(settings, sealed.databases)
    await keys.begin(timedelta())
    wrapped = await keys.key_of(someone.tenant_id, someone.id)
    token = someone.http.headers["authorization"].removeprefix("Bearer ")
    theirs = Someone(someone.id, someone.tenant_id, someone.username, sealed.with_token(token))
    return theirs, keys.master_keys.person_key(wrapped, someone.tenant_id, someone.id)


async def nobody_else_switches() -> None:
    """Let every row be converted."""


async def converted(sealed: World, someone: Someone, key: PersonKey, *, to_sealed: bool) -> int:
    general, who = sealed.databases.general, (someone.tenant_id, someone.id)
    batches = convert(general, *who, key, nobody_else_switches, to_sealed=to_sealed)
    return sum([rows async for rows in batches])


async def rows_of(general: asyncpg.Connection[Any], someone: Someone) -> dict[str, list[Any]]:
    return {name: list(await general.fetch(query, someone.id)) for name, query in MINE.items()}


async def say(someone: Someone, title: str) -> str:
    """Say something of each kind; give the session's path."""
    new = {"title": title, "metadata": {"of": MARK}}
    path = f"{SESSIONS}/{(await asked(someone, 'POST', SESSIONS, new))['id']}"
    parts = [{"type": "text", "text": f"{MARK}\0"}, {"type": "own", "of": MARK}]
    messages = [
        {"role": "user", "content": MARK, "metadata": {"of": MARK}},
        {"role": "user", "content": parts, "client_id": "one"},
        {"role": "assistant", "content": MARK * 1000, "status": "in_progress"},
    ]
    key = {"Idempotency-Key": path}
    await asked(someone, "POST", f"{path}/messages/batch", {"messages": messages}, headers=key)
    items = f"/v1/conversations/conv_{path.rpartition('/')[2].replace('-', '')}/items"
    item = {"role": "user", "content": MARK, "more": MARK}
    await asked(someone, "POST", items, {"items": [item, {"type": "own", "id": "own_1", "of": 1}]})
    return path


async def test_a_person_is_sealed_and_unsealed_again(
    world: World, servers: Servers, database: str, general: asyncpg.Connection[Any]
) -> None:
    alice, bob = await world.someone("\\acme\\alice"), await world.someone("\\acme\\bob")
    paths = [await say(alice, f"{MARK} {n}") for n in range(2)]
    await say(bob, "Bob's")
    before, others = await rows_of(general, alice), await rows_of(general, bob)
    export = (await alice.http.get("/v1/me/export")).text
    async with with_a_key(servers, database) as sealed:
        theirs, key = await begin(sealed, alice)
        assert await converted(sealed, alice, key, to_sealed=True) == 2 + 10 + 2
        assert await converted(sealed, alice, key, to_sealed=True) == 0
        assert (await theirs.http.get("/v1/me/export")).text == export
        assert await rows_of(general, bob) == others
        for name, rows in (await rows_of(general, alice)).items():
            said = {"title", "content", "parts", "metadata", "metadata_tags", "item_members"}
            said |= {"client_digest", "sealed", "sealed_size", "answer", "fingerprint"}
            for old, new in zip(before[name], rows, strict=True):
                assert {n: v for n, v in old.items() if n not in said} == {
                    n: v for n, v in new.items() if n not in said
                }
        retried = {"messages": [{"role": "user", "content": "Another", "client_id": "one"}]}
        answer = await theirs.http.post(f"{paths[0]}/messages/batch", json=retried)
        assert answer.status_code == 409
        page = await asked(theirs, "GET", SESSIONS, params={"metadata.of": MARK})
        assert len(page["items"]) == 2
        for path in (paths[0], f"{paths[0]}/messages", SESSIONS, "/v1/me/export"):
            answer = await alice.http.get(path)  # the process without a key
            assert answer.status_code == 503, path
            assert "Retry-After" in answer.headers
        answer = await alice.http.post(
            f"{paths[0]}/messages", json={"role": "user", "content": "x"}
        )
        assert answer.status_code == 503
        assert await general.fetchval("SELECT count(*) FROM messages WHERE sealed IS NULL") == 5
        await Keys(sealed.app.state.settings, sealed.databases).begin(timedelta())
        assert await converted(sealed, alice, key, to_sealed=False) == 2 + 10 + 2
        assert await rows_of(general, alice) == before
        assert await general.fetchval("SELECT count(key_id) FROM owners") == 0


@pytest.mark.slow
async def test_people_edit_while_they_are_sealed(
    world: World, servers: Servers, database: str, general: asyncpg.Connection[Any]
) -> None:
    alice = await world.someone("\\acme\\alice")
    paths = [await say(alice, f"{MARK} {n}") for n in range(3)]
    async with with_a_key(servers, database) as sealed:
        theirs, key = await begin(sealed, alice)
        done = asyncio.Event()
        last = dict[str, int]()

        async def edit(path: str) -> None:
            while not done.is_set():
                last[path] = last.get(path, 0) + 1
                text = {"content": f"{MARK} {last[path]}"}
                await asked(theirs, "PATCH", f"{path}/messages/1", text)
                await asked(theirs, "PATCH", f"{path}/messages/2", {"status": "completed"})
                await asked(theirs, "PATCH", path, {"title": text["content"]})

        async def turn() -> None:
            try:
                for to_sealed in (True, False, True, False, True):
                    await converted(sealed, alice, key, to_sealed=to_sealed)
            finally:
                done.set()

        async with asyncio.TaskGroup() as tasks:
            for path in paths:
                tasks.create_task(edit(path))
            tasks.create_task(turn())
        await converted(sealed, alice, key, to_sealed=True)
        for path in paths:
            text = f"{MARK} {last[path]}"
            assert (await asked(theirs, "GET", path))["title"] == text
            message = await asked(theirs, "GET", f"{path}/messages/1")
            assert (message["content"], message["metadata"]) == (text, {"of": MARK})
            second = await asked(theirs, "GET", f"{path}/messages/2")
            assert second["content"][0] == {"type": "text", "text": f"{MARK}\0"}
        assert await found(general, MARK) == []
