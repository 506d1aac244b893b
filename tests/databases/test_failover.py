"""The primary dies, a standby takes its address, and is promoted a moment later."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from app.bridge.erasure.relay import AwayError
from tests.support import pgbouncer
from tests.support.erasure_scene import open_scene
from tests.support.factories import a_message, a_session
from tests.support.outages import stopped
from tests.support.proxy import Proxy, proxied
from tests.support.servers import Servers
from tests.support.standby import Standby, standby_of
from tests.support.wire import Service, bounded, refused, service

BODY = {"role": "user", "content": "Where is it warm?"}

pytestmark = pgbouncer.only_directly("PgBouncer's connections to the servers are not the service's")


@pytest.fixture
async def standby(servers: Servers, database: str) -> AsyncIterator[Standby]:
    """Made of the general database's server when this test's own database is there."""
    async with standby_of(servers.general) as standby:
        yield standby


@pytest.fixture
async def address(servers: Servers) -> AsyncIterator[Proxy]:
    """Leads to the primary until a test says otherwise."""
    async with proxied(servers.general.port) as address:
        yield address


@pytest.fixture
async def it(servers: Servers, database: str, address: Proxy) -> AsyncIterator[Service]:
    url = pgbouncer.url_at(address.port, database)
    async with service(servers, database, database_url_general=url) as it:
        yield it


def error_of(ready: httpx.Response) -> str:
    assert ready.status_code == 503
    error: str = ready.json()["error"]
    return error


@bounded
async def test_a_promoted_standby_takes_the_first_write(
    it: Service, servers: Servers, database: str, address: Proxy, standby: Standby
) -> None:
    alice = await it.world.member()
    session = await a_session(alice)
    path = f"/v1/chat-sessions/{session['id']}"
    await a_message(alice, session["id"])
    await standby.follows()
    async with stopped(servers.general, database):
        assert refused(await alice.http.get(path), 503), "nobody is there yet"
        address.server_port = standby.port
        assert (await alice.http.get(path)).status_code == 200, "reads need no promotion"
        for _ in range(8):  # every connection of the pool leads to the standby
            assert refused(await alice.http.post(f"{path}/messages", json=BODY), 503)
            assert refused(await alice.http.patch(path, json={"title": "Warm"}), 503)
        ready = await it.world.nobody.get("/health/ready")
        assert error_of(ready) == "takes no writes: general database"
        await standby.promote()
        assert (await a_message(alice, session["id"]))["position"] == 2
        assert (await alice.http.patch(path, json={"title": "Warm"})).status_code == 200
        while (await it.world.nobody.get("/health/ready")).status_code != 200:
            pass  # it is shared for a second
    page = (await alice.http.get(f"{path}/messages")).json()["items"]
    assert {message["position"] for message in page} == {1, 2}


@bounded
async def test_an_erasure_is_done_on_the_promoted_standby(
    servers: Servers, database: str, address: Proxy, standby: Standby
) -> None:
    url = pgbouncer.url_at(address.port, database)
    async with open_scene(servers, database, database_url_general=url) as scene:
        alice = await scene.a_user(sessions=1)
        await standby.follows()
        relay = scene.relay()
        await scene.delete(alice)
        async with stopped(servers.general, database):
            address.server_port = standby.port
            with pytest.raises(AwayError):
                await relay.run_once()
            await standby.promote()
            assert await relay.run_once(), "it is due at once"
            assert (await scene.entry(alice))["receipt"]
