"""A proxy that counts the round trips between a service and its database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

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
