"""The end of a key, or of its person, holds from its commit for what it has under way, too.

Each request here is past its key's look-up when the key is revoked, or its person shut out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest

from app.chat.writes import HOLDS_SECONDS
from tests.support.api_keys import Backend, a_backend
from tests.support.factories import PASSWORD, Someone, World, a_session
from tests.support.locks import lock_rows, until_waiting
from tests.support.logins import superuser
from tests.support.servers import Servers

REVOKE = "DELETE FROM api_keys WHERE id = $1"
END_PERSON = {
    "blocked": "UPDATE users SET is_blocked = true WHERE id = $1",
    "inactive": "UPDATE users SET is_active = false WHERE id = $1",
    "erased": "DELETE FROM users WHERE id = $1",
}
STORED = """
SELECT to_jsonb(u) - 'updated_at' FROM users u WHERE id <> $1
UNION ALL SELECT to_jsonb(t) - 'last_used_at' FROM access_tokens t WHERE user_id <> $1
UNION ALL SELECT to_jsonb(e) FROM audit_events e ORDER BY 1
"""
SAID = """
SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM chat_sessions),
       (SELECT count(*) FROM general_idempotency_keys)
"""
BATCH = {"messages": [{"role": "user", "content": "Late"}] * 3}


@dataclass
class Scene:
    """A backend that administers, and a member whom it acts on."""

    backend: Backend
    target: Someone

    async def request(self, method: str, more: str = "", **body: Any) -> httpx.Response:
        path = f"/v1/users/{self.target.id}{more}"
        return await self.backend.http.request(method, path, json=body or None)


Act = Callable[[Scene], Coroutine[Any, Any, httpx.Response]]


async def create(scene: Scene) -> httpx.Response:
    new = {"username": "newcomer", "email": "newcomer@example.org", "password": PASSWORD}
    return await scene.backend.http.post("/v1/users", json=new)


ACTS: dict[str, Act] = {
    "create": create,
    "change": lambda scene: scene.request("PATCH", email="changed@example.org"),
    "delete": lambda scene: scene.request("DELETE"),
    "block": lambda scene: scene.request("POST", "/block"),
    "unblock": lambda scene: scene.request("POST", "/unblock"),
    "mint": lambda scene: scene.request("POST", "/tokens", expires_in=60),
    "end tokens": lambda scene: scene.request("DELETE", "/tokens"),
}


@pytest.fixture
async def sql(servers: Servers, database: str) -> AsyncGenerator[asyncpg.Connection]:
    async with superuser(servers.user.url(database)) as connection:
        yield connection


async def test_a_key_that_is_revoked_while_it_acts_changes_nothing(
    world: World, sql: asyncpg.Connection
) -> None:
    boss, target = await world.tenant_admin(), await world.member()
    for name, act in ACTS.items():
        scene = Scene(await a_backend(world, boss), target)
        before = await sql.fetch(STORED, boss.id)
        async with sql.transaction():
            await sql.execute(REVOKE, scene.backend.id)
            acting = asyncio.create_task(act(scene))
            await until_waiting(sql, on=acting)
        answer = await acting
        assert answer.status_code == 401, (name, answer.text)
        assert await sql.fetch(STORED, boss.id) == before, name


async def test_a_person_who_is_shut_out_while_a_key_acts_for_them_keeps_what_they_have(
    world: World, sql: asyncpg.Connection
) -> None:
    boss = await world.tenant_admin()
    backend = await a_backend(world, boss, "tokens")
    for how, statement in END_PERSON.items():
        alice = await world.member()
        acting_for = backend.acting_for(alice.id)
        [token] = (await acting_for.get("/v1/me/tokens")).json()["items"]
        events = await sql.fetchval("SELECT count(*) FROM audit_events")
        async with sql.transaction():
            await sql.execute(statement, alice.id)
            ending = asyncio.create_task(acting_for.delete(f"/v1/me/tokens/{token['id']}"))
            await until_waiting(sql, on=ending)
        assert (await ending).status_code == 401, how
        assert await sql.fetchval("SELECT count(*) FROM audit_events") == events


async def test_what_waits_to_be_written_for_a_person_is_not_written_any_more(
    world: World, sql: asyncpg.Connection, servers: Servers, database: str
) -> None:
    """The key is revoked in the middle of a batch, or its person is blocked, or erased; a token
    that the key minted ends with it.
    """
    boss = await world.tenant_admin()
    ended, other = [await a_backend(world, boss) for _ in range(2)]
    people = [await world.member() for _ in range(4)]
    paths = [f"/v1/chat-sessions/{(await a_session(one))['id']}" for one in people]
    minted = await ended.http.post(f"/v1/users/{people[1].id}/tokens", json={"expires_in": 60})
    device = world.with_token(minted.json()["access_token"])
    clients = [ended.acting_for(people[0].id), device]
    clients += [other.acting_for(one.id) for one in people[2:]]
    async with superuser(servers.general.url(database)) as general:
        before = await general.fetchrow(SAID)
        async with general.transaction():
            await lock_rows(general, "chat_sessions")
            late = [
                asyncio.create_task(client.post(f"{path}/messages/batch", json=BATCH))
                for client, path in zip(clients, paths, strict=True)
            ]
            await until_waiting(general, len(late))
            await _done(boss.http.delete(f"/v1/api-keys/{ended.id}"))
            await _done(boss.http.post(f"/v1/users/{people[2].id}/block"))
            await _done(boss.http.delete(f"/v1/users/{people[3].id}"))
            await until_waiting(general, len(late), seconds=HOLDS_SECONDS)
        answers = [answer.status_code for answer in await asyncio.gather(*late)]
        assert answers == [401, 401, 403, 410]
        assert await general.fetchrow(SAID) == before
    assert (await clients[0].get(paths[0])).status_code == 401
    assert (await device.get(paths[1])).status_code == 401


async def _done(request: Coroutine[Any, Any, httpx.Response]) -> None:
    answer = await request
    assert answer.is_success, answer.text
