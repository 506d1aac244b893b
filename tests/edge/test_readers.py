"""A client that reads slowly gets its answer; one that stops reading is let go.

An application of the tests' own answers here, since how much it sends and when is the point.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from app.config.settings import Settings
from tests.support.proxy import HARD
from tests.support.wire import PATIENCE_SECONDS, serving, wired

MORE_THAN_THE_KERNEL_KEEPS = 8 << 20
LESS_THAN_PAUSES_IT = 40_000
SMALL = 4096
START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}


@dataclass
class Answers:
    """An application whose answer depends on the path; an event tells when it was given up."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    given_up: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await getattr(self, scope["path"].strip("/"))(send)

    async def growing(self, send: Any) -> None:
        for size in (1, 2):
            await _send(send, size * MORE_THAN_THE_KERNEL_KEEPS)
        await _send(send, 0, more=False)

    async def endless(self, send: Any) -> None:
        try:
            while True:
                await _send(send, MORE_THAN_THE_KERNEL_KEEPS)
        finally:
            self.given_up.set()

    async def short(self, send: Any) -> None:
        await _send(send, LESS_THAN_PAUSES_IT, more=False)

    async def never_ends(self, send: Any) -> None:
        await _send(send, 1)
        self.begun.set()
        await asyncio.Event().wait()


async def _send(send: Any, size: int, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": bytes(size), "more_body": more})


@pytest.fixture
def settings() -> Settings:
    return Settings.model_validate({"request_timeout_seconds": 1})


@asynccontextmanager
async def asked(port: int, path: str) -> AsyncGenerator[socket.socket]:
    """A reader that takes no more than it must."""
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        reader.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(reader, ("127.0.0.1", port))
        await loop.sock_sendall(reader, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        yield reader


async def read(reader: socket.socket, size: int) -> int:
    """Read so many bytes, or fewer where they end."""
    loop, there = asyncio.get_running_loop(), 0
    while there < size and (data := await loop.sock_recv(reader, min(1 << 20, size - there))):
        there += len(data)
    return there


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
async def port(settings: Settings, answers: Answers) -> AsyncIterator[int]:
    async with serving(answers, settings) as port:
        yield port


async def test_a_slow_reader_that_makes_progress_gets_its_answer(
    port: int, answers: Answers
) -> None:
    """Another, who came later and reads nothing, tells when both have been looked at."""
    async with asyncio.timeout(PATIENCE_SECONDS), asked(port, "/growing") as slow:
        await read(slow, 1)
        async with asked(port, "/endless"):
            await read(slow, MORE_THAN_THE_KERNEL_KEEPS)
            await answers.given_up.wait()
        rest = await read(slow, 3 * MORE_THAN_THE_KERNEL_KEEPS)
        assert rest >= 2 * MORE_THAN_THE_KERNEL_KEEPS


async def test_a_reader_that_stops_after_some_progress_is_let_go(
    port: int, answers: Answers
) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS), asked(port, "/endless") as reader:
        await read(reader, MORE_THAN_THE_KERNEL_KEEPS)
        await answers.given_up.wait()


async def test_the_rest_of_an_answer_nobody_reads_is_not_kept(
    settings: Settings, answers: Answers
) -> None:
    small, hard = (socket.SO_SNDBUF, SMALL), (socket.SO_LINGER, HARD)  # so that we see the end
    async with (
        serving(answers, settings, small, hard) as port,
        asked(port, "/short") as reader,
    ):
        assert await asyncio.to_thread(ended, reader)


def ended(reader: socket.socket) -> bool:
    """Without reading, which would be progress."""
    ends = select.poll()
    ends.register(reader, 0)
    return bool(ends.poll(PATIENCE_SECONDS * 1000))


async def test_no_refusal_is_written_into_an_answer_that_has_begun(
    port: int, answers: Answers
) -> None:
    """The request turns out to be none when its answer has already begun."""
    head = b"POST /never_ends HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with wired(port) as wire:
        await wire.send(head)
        await answers.begun.wait()
        await wire.send(b"no chunk\r\n")
        assert (await wire.until_closed()).count(b"HTTP/1.1") == 1
