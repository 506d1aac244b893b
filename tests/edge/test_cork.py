"""A response's head and body leave together, and nothing is held back for longer than that."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from typing import Any

import pytest

from app.config.settings import Settings
from tests.support.servers import LOUD
from tests.support.wire import PATIENCE_SECONDS, Wire, serving, wired

REQUESTS = 10
GET = b"GET / HTTP/1.1\r\nHost: bicameral\r\n\r\n"
START = {"type": "http.response.start", "status": 200, "headers": [(b"x-one", b"1")]}
DATA_SEGMENTS_IN = 152  # the field's place in Linux's struct tcp_info


def data_segments_in(wire: Wire) -> int:
    own: socket.socket = wire.writer.get_extra_info("socket")
    info = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    (segments,) = struct.unpack_from("I", info, DATA_SEGMENTS_IN)
    return int(segments)


@pytest.mark.skipif(sys.platform != "linux", reason=f"{LOUD}: only Linux counts segments for us")
async def test_an_answer_is_one_segment(settings: Settings) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send(START | {"headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async with serving(answer, settings) as port, wired(port) as wire:
        for _ in range(REQUESTS):
            await wire.send(GET)
            assert await wire.status() == 200
        assert data_segments_in(wire) == REQUESTS


async def test_a_head_does_not_wait_for_its_body(settings: Settings) -> None:
    arrived = asyncio.Event()

    async def stream(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await arrived.wait()
        await send({"type": "http.response.body", "body": b"late"})

    async with serving(stream, settings) as port, wired(port) as wire:
        await wire.send(GET)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert b"x-one: 1" in await wire.reader.readuntil(b"\r\n\r\n")
            arrived.set()
            assert await wire.reader.readuntil(b"0\r\n\r\n") == b"4\r\nlate\r\n0\r\n\r\n"


async def test_what_looks_like_a_head_is_sent_in_its_order(settings: Settings) -> None:
    parts = [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0", b"", b"and more"]
    length = str(sum(map(len, parts))).encode()

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send(START | {"headers": [(b"content-length", length), (b"connection", b"close")]})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async with serving(answer, settings) as port, wired(port) as wire:
        await wire.send(GET)
        _, _, body = (await wire.until_closed()).partition(b"\r\n\r\n")
        assert body == b"".join(parts)
