"""A database takes no writes, as after a fail-over: the server's state, and no request's fault."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal

import asyncpg
import httpx
import pytest

from app.bridge.erasure.relay import AwayError
from app.commands.embedded.cluster import Server
from tests.support.erasure_scene import open_scene
from tests.support.factories import World, a_message, a_session
from tests.support.health import fresh
from tests.support.servers import Servers, run

Name = Literal["user", "general"]
CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = '{database}' AND usename LIKE 'bicameral%'
"""


@asynccontextmanager
async def read_only(server: Server, database: str) -> AsyncGenerator[None]:
    """New connections find the server read-only, those of before are cut: a fail-over to a standby.

    Afterwards the server takes writes, though a connection made meanwhile still would not.
    """
    await run(server, f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    await run(server, CUT.format(database=database))
    yield
    await run(server, f"ALTER DATABASE {database} RESET default_transaction_read_only")


def refused(response: httpx.Response) -> bool:
    return response.status_code == 503 and "Retry-After" in response.headers


async def test_writes_are_503_and_the_first_one_afterwards_is_stored(
    world: World, servers: Servers, database: str
) -> None:
    member = await world.member()
    session = await a_session(member)
    messages = f"/v1/chat-sessions/{session['id']}/messages"
    body = {"role": "user", "content": "Where is it warm?"}
    async with read_only(servers.general, database):
        for _ in range(8):  # every connection of the pool meets it, by a session or directly
            assert refused(await member.http.post(messages, json=body))
            assert refused(await member.http.post("/v1/chat-sessions", json={"title": "Warm"}))
    for _ in range(8):
        assert (await member.http.post(messages, json=body)).status_code == 201
        assert (await member.http.post("/v1/chat-sessions")).status_code == 201


async def test_what_needs_no_write_is_served(world: World, servers: Servers, database: str) -> None:
    member = await world.member()
    session = await a_session(member)
    await a_message(member, session["id"])
    async with read_only(servers.general, database):
        await member.http.get("/v1/chat-sessions")  # finds the cut connections
        for path in ("/v1/chat-sessions", f"/v1/chat-sessions/{session['id']}/messages"):
            assert (await member.http.get(path)).status_code == 200


@pytest.mark.parametrize("minutes", [0, 5])
async def test_a_token_is_looked_up_though_its_use_cannot_be_noted(
    world: World, servers: Servers, database: str, minutes: int
) -> None:
    member = await world.member()
    unused = f"UPDATE access_tokens SET last_used_at = now() - interval '{minutes} minutes'"
    await run(servers.user, unused, database)
    async with read_only(servers.user, database):
        await member.http.get("/v1/me")
        assert (await member.http.get("/v1/me")).status_code == 200
        assert (await member.http.get("/v1/chat-sessions")).status_code == 200
    assert (await member.http.get("/v1/me")).status_code == 200
    assert await noted(servers.user, database)


async def noted(server: Server, database: str) -> bool:
    connection = await asyncpg.connect(server.url(database))
    try:
        query = "SELECT bool_and(last_used_at > now() - interval '1 minute') FROM access_tokens"
        return bool(await connection.fetchval(query))
    finally:
        await connection.close()


@pytest.mark.parametrize("name", ["user", "general"])
async def test_readiness_says_which_takes_no_writes(
    client: httpx.AsyncClient, servers: Servers, database: str, name: Name
) -> None:
    assert (await fresh(client, "/health/ready")).status_code == 200
    async with read_only(getattr(servers, name), database):
        ready = await fresh(client, "/health/ready")
        assert ready.status_code == 503
        assert ready.json()["error"] == f"takes no writes: {name} database"
        assert ready.json()["databases"] == {"user": "connected", "general": "connected"}
        assert (await fresh(client, "/health")).status_code == 200, "both are there"
    assert (await fresh(client, "/health/ready")).status_code == 200


async def test_a_login_is_503_while_nothing_can_be_counted(
    world: World, servers: Servers, database: str
) -> None:
    member = await world.member()
    login = {"username": member.username, "password": "a quiet corner of the library"}
    async with read_only(servers.user, database):
        assert refused(await world.nobody.post("/v1/auth/login", json=login))
        assert refused(await world.nobody.post("/v1/auth/login", json=login))
    assert (await world.nobody.post("/v1/auth/login", json=login)).status_code == 200


async def test_the_relay_takes_it_for_away_and_blames_no_erasure(
    servers: Servers, database: str
) -> None:
    async with open_scene(servers, database) as scene:
        alice = await scene.a_user(sessions=1)
        await scene.delete(alice)
        async with read_only(servers.general, database):
            relay = scene.relay()
            for _ in range(2):
                with pytest.raises(AwayError):
                    await relay.run_once()
        assert await relay.run_once(), "it is due at once"
        assert (await scene.entry(alice))["receipt"]
