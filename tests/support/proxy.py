"""A TCP proxy that breaks what it carries, at a moment of the test's choice.

A fault waits for its moment (a number of bytes, or some bytes as COMMIT in what the client sends)
and then does one thing to that connection. Each fault happens once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from random import Random
from socket import SO_LINGER, SOL_SOCKET
from struct import pack

CHUNK_BYTES = 65_536
HARD = pack("ii", 1, 0)  # linger for no time: closing sends RST


class Act(Enum):
    """A thing that happens to the connection at its moment."""

    CUT_BEFORE = auto()  # the server never gets what the client sent
    CUT_REPLY = auto()  # the server gets it; its answer is lost, the connection closed
    RESET_REPLY = auto()  # the same, the hard way
    SILENCE = auto()  # the server gets it; nothing comes back, the connection stays open


@dataclass
class Fault:
    act: Act
    words: bytes = b""  # in what the client sends; none: the number of bytes decides
    skip: int = 0  # so many times the words, or bytes both ways
    happened: asyncio.Event = field(default_factory=asyncio.Event)

    def is_due(self, sent: bytes, carried: int) -> bool:
        if self.happened.is_set():
            return False
        if not self.words:
            return carried >= self.skip
        found, self.skip = sent.count(self.words), self.skip - sent.count(self.words)
        return found > 0 and self.skip < 0


class Link:
    """One client's connection and its way to the server."""

    def __init__(self, proxy: Proxy, client: Stream, server: Stream) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._is_mute = False
        self._age = proxy.age

    async def carry(self) -> None:
        """Carry bytes until either side ends, or a fault ends it."""
        ways = [asyncio.create_task(way) for way in (self._up(), self._down())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # First, and nothing awaited before: the proxy's own end may interrupt what waits here.
            for stream in (self._client, self._server):
                stream.writer.close()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _up(self) -> None:
        while data := await self._client.read():
            if self._is_lost:
                continue
            fault = self._proxy.due(data)
            if fault and fault.act is Act.CUT_BEFORE:
                return
            if fault:
                self._is_mute = True
            await asyncio.sleep(self._proxy.upward_seconds)
            await self._server.write(data)
            if fault and not await self._answered(fault):
                return
        if self._is_lost and self._proxy.hides_ends:
            await asyncio.Event().wait()  # until the server ends it

    async def _answered(self, fault: Fault) -> bool:
        """Waits for the answer the client will not get: so the server has done as it was told."""
        if fault.act is Act.SILENCE:
            return True
        await self._proxy.answer.wait()
        if fault.act is Act.RESET_REPLY:
            self._client.reset()
        return False

    @property
    def _is_lost(self) -> bool:
        """A connection from before the black hole leads nowhere after it, for good."""
        return self._proxy.is_black_hole or self._age != self._proxy.age

    async def _down(self) -> None:
        while data := await self._server.read():
            if self._is_mute or self._is_lost:
                self._proxy.answer.set()
                continue
            fault = self._proxy.due(b"", len(data))
            if fault:
                return
            for piece in self._proxy.pieces(data):
                await asyncio.sleep(self._proxy.delay())
                await self._client.write(piece)


@dataclass
class Stream:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def read(self) -> bytes:
        with suppress(ConnectionError):
            return await self.reader.read(CHUNK_BYTES)
        return b""

    async def write(self, data: bytes) -> None:
        with suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    def reset(self) -> None:
        self.writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, HARD)
        self.writer.transport.abort()


@dataclass
class Proxy:
    server_port: int
    port: int = 0
    latency_seconds: float = 0  # on the way back
    upward_seconds: float = 0  # on the way there
    jitter_seconds: float = 0  # up to so much more, for each piece anew
    slice_bytes: int = 0  # an answer comes in pieces of 1 to so many bytes; 0: as it is
    is_black_hole: bool = False  # takes connections, and carries nothing
    is_shut: bool = False  # the same, for new connections only
    fault: Fault | None = None
    carried: int = 0
    taken: int = 0  # connections, for whatever came of them
    age: int = 0  # how many black holes there have been
    hides_ends: bool = False  # a connection that leads nowhere is not ended by its client either
    answer: asyncio.Event = field(default_factory=asyncio.Event)
    chance: Random = field(default_factory=lambda: Random(1))  # noqa: S311  not for secrets

    def delay(self) -> float:
        return self.latency_seconds + self.chance.random() * self.jitter_seconds

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while self.slice_bytes and data:
            length = self.chance.randint(1, self.slice_bytes)
            yield data[:length]
            data = data[length:]
        if data:
            yield data

    def due(self, sent: bytes, received: int = 0) -> Fault | None:
        self.carried += len(sent) + received
        if self.fault and self.fault.is_due(sent, self.carried):
            self.fault.happened.set()
            self.answer.clear()
            return self.fault
        return None

    def breaks(self, act: Act, words: bytes = b"", *, skip: int = 0) -> Fault:
        """The next fault; counts from now."""
        self.carried, self.fault = 0, Fault(act, words, skip)
        return self.fault

    def heals(self) -> None:
        self.age += self.is_black_hole
        self.fault, self.is_black_hole = None, False

    def forgets(self) -> None:
        """Swallow from now on what comes on the connections of before, as a NAT does."""
        self.age += 1
        self.hides_ends = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.taken += 1
        try:
            if self.is_black_hole or self.is_shut:
                await reader.read(-1)
            up = await asyncio.open_connection("127.0.0.1", self.server_port)
            await Link(self, Stream(reader, writer), Stream(*up)).carry()
        except OSError:
            pass  # the server is away, and so is the proxy for this client
        finally:
            writer.close()


@asynccontextmanager
async def proxied(server_port: int) -> AsyncGenerator[Proxy]:
    """Listens on a port of its own until the end."""
    proxy, tasks = Proxy(server_port), set[asyncio.Task[None]]()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(proxy.serve(reader, writer)))

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    proxy.port = listening.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
