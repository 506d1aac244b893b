"""A proxy before each server counts, on the wire, how often a request waits for a database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from tests.support import sealing
from tests.support.factories import a_session
from tests.support.pgbouncer import PREPARING, ROUND_TRIPS
from tests.support.round_trips import Wired, asked, asked_once, wired_service
from tests.support.servers import Servers

ONCE = (ROUND_TRIPS, ROUND_TRIPS)
# All that a message says is sealed in one piece, so an edit of a part of it reads the whole before.
EDITED = (ROUND_TRIPS, (1 + sealing.IS_WANTED) * ROUND_TRIPS)
MESSAGE = {"role": "user", "content": "Hello"}


@pytest.fixture
async def wired(servers: Servers, database: str) -> AsyncIterator[Wired]:
    async with wired_service(servers, database) as service:
        yield service


async def test_a_hot_route_asks_each_database_once(wired: Wired) -> None:
    alice = await wired.world.member()
    path = f"/v1/chat-sessions/{(await a_session(alice))['id']}"
    batch = {"messages": [MESSAGE] * 1000}
    assert await asked(wired, alice, "GET", path) == ONCE
    assert await asked(wired, alice, "GET", f"{path}/messages") == ONCE
    assert await asked(wired, alice, "POST", f"{path}/messages", MESSAGE) == ONCE
    assert await asked(wired, alice, "POST", f"{path}/messages/batch", batch) == ONCE
    assert await asked(wired, alice, "GET", f"{path}/messages/7") == ONCE
    assert await asked(wired, alice, "PATCH", f"{path}/messages/7", {"content": "Hi"}) == EDITED
    assert await asked(wired, alice, "DELETE", f"{path}/messages?after=900") == ONCE
    assert await asked_once(wired, alice, "DELETE", f"{path}/messages/7") == ONCE
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
