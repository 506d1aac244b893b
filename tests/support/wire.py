"""The service behind a real socket, in this process, and clients that speak in raw bytes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec

import asyncpg
import httpx
import uvicorn
from litestar import Litestar

from app.config.settings import Settings
from app.edge.draining import server_options
from app.server import create_app
from tests.support.factories import World
from tests.support.servers import Servers, alive, settings_for

P = ParamSpec("P")
PATIENCE_SECONDS = 20
ROW = "SELECT FROM chat_sessions WHERE id = $1 FOR UPDATE"  # whoever appends to it waits in line
MESSAGES = "LOCK TABLE messages IN ACCESS EXCLUSIVE MODE"  # each waits in the database
WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'bicameral' AND wait_event_type = 'Lock'
"""


def bounded(test: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
    """A test that hangs ends as TimeoutError. A fixture could not see to it: it is another task."""

    @wraps(test)
    async def within(*args: P.args, **named: P.kwargs) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await test(*args, **named)

    return within


@asynccontextmanager
async def serving(
    app: Any,
    settings: Settings,
    *socket_options: tuple[int, int | bytes],
) -> AsyncGenerator[int]:
    """The port. The socket listens before the server runs, so there is nothing to wait for."""
    listening = socket.create_server(("127.0.0.1", 0))
    for name, value in socket_options:  # inherited by its connections
        listening.setsockopt(socket.SOL_SOCKET, name, value)
    options = server_options(settings)
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, **options))
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        await running


@dataclass
class Wire:
    """One connection. What hangs ends as TimeoutError."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def until_closed(self) -> bytes:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.reader.read(-1)

    async def status(self) -> int:
        """Give the status of the next answer, which is read with its body."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
            length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await self.reader.readexactly(int(length or 0))
            return int(head.split()[1])


@asynccontextmanager
async def wired(port: int) -> AsyncGenerator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


def refused(response: httpx.Response, status: int) -> bool:
    """Return whether this is that refusal, which must be problem+json and say when to come back."""
    if response.status_code != status:
        return False
    assert response.headers["content-type"] == "application/problem+json"
    assert int(response.headers["retry-after"]) >= 1
    assert response.headers["x-content-type-options"] == "nosniff"
    return True


@dataclass
class Service:
    app: Litestar
    world: World
    port: int


@asynccontextmanager
async def service(servers: Servers, database: str, **more: object) -> AsyncGenerator[Service]:
    """The whole service with these settings, in this process and behind a socket."""
    settings = settings_for(servers, database, **more)
    app = create_app(settings)
    asgi: Any = app  # the two libraries spell ASGI's types differently
    async with (
        alive(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=asgi), base_url="http://bicameral"
        ) as nobody,
        serving(app, settings) as port,
    ):
        yield Service(app, World(app, nobody), port)


@asynccontextmanager
async def locked(servers: Servers, database: str, lock: str, *values: str) -> AsyncGenerator[Lock]:
    """Somebody holds it in the general database: whoever needs it waits."""
    holder = await asyncpg.connect(servers.general.url(database))
    # Within a transaction PostgreSQL would show the same picture of its sessions again and again.
    witness = await asyncpg.connect(servers.general.url(database))
    try:
        await holder.execute("BEGIN")
        await holder.execute(lock, *values)
        yield Lock(witness)
    finally:
        await holder.close()
        await witness.close()


@dataclass
class Lock:
    witness: asyncpg.Connection

    async def has_waiting(self, number: int) -> None:
        """Asks until so many wait. Each question is a round trip, so this is no busy loop."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self.witness.fetchval(WAITING) != number:
                pass
