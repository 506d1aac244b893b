"""The proxy of these tests leaves nothing open, whenever it ends."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from tests.support.proxy import proxied

CONNECTIONS = 3
TURNS = 12  # of the event loop, which is more than a connection takes to end


@asynccontextmanager
async def an_echo() -> AsyncGenerator[int]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("turns", range(TURNS))
async def test_a_proxy_ends_while_its_connections_end(turns: int) -> None:
    """They go as when a service is killed: at the worst moment of each connection."""
    with warnings.catch_warnings(record=True, action="always") as caught:
        async with an_echo() as port, proxied(port) as proxy:
            clients = [
                await asyncio.open_connection("127.0.0.1", proxy.port) for _ in range(CONNECTIONS)
            ]
            for reader, writer in clients:
                writer.write(b"x")
                await reader.readexactly(1)
            for _, writer in clients:
                writer.transport.abort()
            for _ in range(turns):
                await asyncio.sleep(0)
        gc.collect()
    assert [str(one.message) for one in caught if "unclosed" in str(one.message)] == []
