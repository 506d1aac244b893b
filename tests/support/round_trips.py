"""A proxy that counts the round trips between a service and its database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx

from app.server import create_app
from tests.support import pgbouncer
from tests.support.factories import Someone, World
from tests.support.servers import Servers, alive, settings_for

CHUNK_BYTES = 65_536


@dataclass
class RoundTripCounter:
    """A proxy to one server. A round trip begins when the client speaks after the server spoke."""

    to: int
    port: int = 0
    round_trips: int = 0

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.to)
        is_waiting = False

        async def ask() -> None:
            nonlocal is_waiting
            while data := await reader.read(CHUNK_BYTES):
                self.round_trips += not is_waiting
                is_waiting = True
                back.write(data)
            back.close()

        async def answer() -> None:
            nonlocal is_waiting
            while data := await there.read(CHUNK_BYTES):
                is_waiting = False
                writer.write(data)
            writer.close()

        with suppress(ConnectionError):
            await asyncio.gather(ask(), answer())

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[RoundTripCounter]:
        async with await asyncio.start_server(self.carry, "127.0.0.1", 0) as proxy:
            self.port = proxy.sockets[0].getsockname()[1]
            yield self


class Wired(NamedTuple):
    """The service on two wires."""

    world: World
    user: RoundTripCounter
    general: RoundTripCounter

    def counted(self) -> tuple[int, int]:
        return self.user.round_trips, self.general.round_trips


@asynccontextmanager
async def wired_service(servers: Servers, database: str) -> AsyncGenerator[Wired]:
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
    """Count in the user and in the general database, warm: a statement is prepared once."""
    await asked_once(wired, who, method, path, body)
    return await asked_once(wired, who, method, path, body)


async def asked_once(
    wired: Wired, who: Someone, method: str, path: str, body: object = None
) -> tuple[int, int]:
    before = wired.counted()
    response = await who.http.request(method, path, json=body)
    assert response.is_success, response.text
    after = wired.counted()
    return after[0] - before[0], after[1] - before[1]
