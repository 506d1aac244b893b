"""How often a request waits for a database: counted on the wire, by a proxy before each server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import httpx
import pytest
from sqlalchemy import text

from app.server import create_app
from tests.support import pgbouncer
from tests.support.factories import Someone, World, a_session
from tests.support.pgbouncer import PREPARING, ROUND_TRIPS
from tests.support.round_trips import RoundTripCounter
from tests.support.servers import Servers, alive, settings_for

ONCE = (ROUND_TRIPS, ROUND_TRIPS)
MESSAGE = {"role": "user", "content": "Hello"}


class Wired(NamedTuple):
    """The service on two wires."""

    world: World
    user: RoundTripCounter
    general: RoundTripCounter

    def counted(self) -> tuple[int, int]:
        return self.user.round_trips, self.general.round_trips


@pytest.fixture
async def wired(servers: Servers, database: str) -> AsyncIterator[Wired]:
    async with AsyncExitStack() as stack:
        wires = [
            await stack.enter_async_context(RoundTripCounter(pgbouncer.port(one)).open())
            for one in servers
        ]
        urls = [pgbouncer.url_at(wire.port, database) for wire in wires]
        settings = settings_for(
            servers, database, database_url_user=urls[0], database_url_general=urls[1]
        )
        service = create_app(settings)
        await stack.enter_async_context(alive(service))
        asgi: Any = service
        http = httpx.AsyncClient(transport=httpx.ASGITransport(asgi), base_url="http://bicameral")
        yield Wired(World(service, await stack.enter_async_context(http)), *wires)


async def asked(
    wired: Wired, who: Someone, method: str, path: str, body: object = None
) -> tuple[int, int]:
    """In the user and in the general database; warm, for a statement is prepared when first met."""
    before = (0, 0)
    for _ in range(2):
        before = wired.counted()
        response = await who.http.request(method, path, json=body)
        assert response.is_success, response.text
    after = wired.counted()
    return after[0] - before[0], after[1] - before[1]


async def test_a_hot_route_asks_each_database_once(wired: Wired) -> None:
    alice = await wired.world.member()
    path = f"/v1/chat-sessions/{(await a_session(alice))['id']}"
    batch = {"messages": [MESSAGE] * 1000}
    assert await asked(wired, alice, "GET", path) == ONCE
    assert await asked(wired, alice, "GET", f"{path}/messages") == ONCE
    assert await asked(wired, alice, "POST", f"{path}/messages", MESSAGE) == ONCE
    assert await asked(wired, alice, "POST", f"{path}/messages/batch", batch) == ONCE
    assert await asked(wired, alice, "GET", "/health/live") == (0, 0)


async def test_the_proxy_counts_each_round_trip(wired: Wired) -> None:
    """BEGIN, a statement, COMMIT: what a session takes where nothing is spared."""
    general = wired.world.databases.general
    alice = await wired.world.member()
    before = 0
    for _ in range(2):
        before = wired.general.round_trips
        async with general.session(alice.tenant_id) as session:
            await session.execute(text("SELECT 1"))
    assert wired.general.round_trips - before == 3 + PREPARING
