"""Requests that two servers in a row might read in two ways: refused, their connection ended."""

from __future__ import annotations

import asyncio
import re

import pytest

from app.config.settings import Settings
from app.server import create_app
from tests.support.wire import serving, wired

GOOD = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /v1/auth/login HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
ENDED = b"0\r\n\r\n"

PROBES = {
    "length and chunks": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + ENDED,
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + ENDED,
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "a length twice": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde",
    "a list of lengths": POST + b"Content-Length: 5, 5\r\n\r\nabcde",
    "a signed length": POST + b"Content-Length: +5\r\n\r\nabcde",
    "a negative length": POST + b"Content-Length: -5\r\n\r\nabcde",
    "a hexadecimal length": POST + b"Content-Length: 0x5\r\n\r\nabcde",
    "an empty length": POST + b"Content-Length: \r\n\r\n",
    "an endless length": POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "a folded line": POST + b"X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "a folded coding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + ENDED,
    "bare LF": b"GET /health/live HTTP/1.1\nHost: x\n\n",
    "one bare LF": b"GET /health/live HTTP/1.1\r\nHost: x\nX-A: b\r\n\r\n",
    "one bare CR": b"GET /health/live HTTP/1.1\r\nHost: x\rX-A: b\r\n\r\n",
    "NUL": b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-A: a\x00b\r\n\r\n",
    "no chunk size": CHUNKED + b"zz\r\nabc\r\n" + ENDED,
    "a prefixed chunk size": CHUNKED + b"0x3\r\nabc\r\n" + ENDED,
    "a negative chunk size": CHUNKED + b"-3\r\nabc\r\n" + ENDED,
    "an endless chunk size": CHUNKED + b"FFFFFFFFFFFFFFFFF\r\nabc\r\n" + ENDED,
    "a chunk size and a space": CHUNKED + b"3 \r\nabc\r\n" + ENDED,
    "a chunk size and LF": CHUNKED + b"3\nabc\r\n" + ENDED,
    "a chunk and LF": CHUNKED + b"3\r\nabc\n" + ENDED,
    "a chunk too long": CHUNKED + b"3\r\nabcd\r\n" + ENDED,
    "LF in an extension": CHUNKED + b"3;a\nb\r\nabc\r\n" + ENDED,
    "another coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n" + ENDED,
    "no coding": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "a coding before": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + ENDED,
    "a coding after": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n" + ENDED,
    "two codings": CHUNKED[:-2] + b"Transfer-Encoding: identity\r\n\r\n" + ENDED,
    "a space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n" + ENDED,
    "a vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + ENDED,
    "chunks in HTTP/1.0": CHUNKED.replace(b"1.1", b"1.0") + ENDED,
    "no host": b"GET /health/live HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /health/live HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "two hosts in HTTP/1.0": b"GET /health/live HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n",
    "HTTP/0.9": b"GET /health/live\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01",
    "a tunnel": b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
}
TOO_LARGE = {
    "too many headers": GOOD[:-2] + b"A: b\r\n" * 200 + b"\r\n",
    "a header too long": GOOD[:-2] + b"A: " + b"b" * 40_000 + b"\r\n\r\n",
}


NAMES = ("user", "general")


@pytest.fixture
def settings() -> Settings:
    """The service needs no database to refuse these."""
    nowhere = {f"database_url_{name}": f"postgresql://127.0.0.1:1/{name}" for name in NAMES}
    return Settings.model_validate({**nowhere, "relay": False})


async def test_probes_for_request_smuggling_are_refused(settings: Settings) -> None:
    async with serving(create_app(settings), settings) as port:
        for status, probes in ((400, PROBES), (431, TOO_LARGE)):
            # A request that follows must not be answered, whatever the first one's end is.
            tried = [answers(port, probe + GOOD) for probe in probes.values()]
            found = dict(zip(probes, await asyncio.gather(*tried), strict=True))
            assert found == {name: [status] for name in probes}


async def test_a_head_that_never_ends_is_refused(settings: Settings) -> None:
    async with serving(create_app(settings), settings) as port:
        assert await answers(port, GOOD[:-2] + b"A: " + b"b" * 40_000) == [431]


async def test_each_head_is_measured_by_itself(settings: Settings) -> None:
    """The requests come in parts: with each part a head ends and the next begins."""
    short = settings.model_copy(update={"request_max_head_bytes": 1024})
    async with serving(create_app(short), short) as port, wired(port) as wire:
        await wire.send(GOOD[:-2])
        for _ in range(2 * 1024 // len(GOOD)):
            await wire.send(GOOD[-2:] + GOOD[:-2])
            assert await wire.status() == 200


async def answers(port: int, data: bytes) -> list[int]:
    """All statuses until the server ends the connection; one that it keeps is a TimeoutError."""
    async with wired(port) as wire:
        await wire.send(data)
        read = await wire.until_closed()
    statuses = [int(status) for status in re.findall(rb"HTTP/1.1 (\d+) ", read)]
    problems = read.count(b"content-type: application/problem+json")
    assert problems == sum(status >= 400 for status in statuses)
    assert read.count(b"x-content-type-options: nosniff") == len(statuses)
    return statuses


async def test_plain_requests_are_not_taken_for_smuggling(settings: Settings) -> None:
    """The negative control: on one connection, one after the other and at once."""
    async with serving(create_app(settings), settings) as port, wired(port) as wire:
        await wire.send(GOOD)
        assert await wire.status() == 200
        await wire.send(GOOD + GOOD)
        assert [await wire.status() for _ in range(2)] == [200, 200]
        await wire.send(CHUNKED + b"3\r\nabc\r\n" + ENDED)
        assert await wire.status() == 415


@pytest.mark.parametrize("path", [b"/health/live", b"/schema", b"/nowhere"])
async def test_an_answer_to_head_has_no_body(settings: Settings, path: bytes) -> None:
    """The next answer follows its head on the wire."""
    head = GOOD.replace(b"GET /health/live", b"HEAD " + path)
    last = GOOD[:-2] + b"Connection: close\r\n\r\n"
    async with serving(create_app(settings), settings) as port, wired(port) as wire:
        await wire.send(head + last)
        read = await wire.until_closed()
    first, second = read.split(b"\r\n\r\n", 1)
    assert re.search(rb"content-length: [1-9]", first)
    assert second.startswith(b"HTTP/1.1 200 OK\r\n")


async def last_answer(port: int, data: bytes) -> bytes:
    """The only one, which says itself that it is the last."""
    async with wired(port) as wire:
        await wire.send(data)
        read = await wire.until_closed()
    assert read.count(b"HTTP/1.1") == 1
    assert b"\r\nconnection: close\r\n" in read
    return read.split()[1]


async def test_a_request_before_a_probe_is_answered_first_or_not_at_all(settings: Settings) -> None:
    async with serving(create_app(settings), settings) as port:
        assert await last_answer(port, GOOD + PROBES["NUL"]) == b"200"
        # The second one began well, and waits for the first.
        assert await answers(port, GOOD + PROBES["no chunk size"]) == []


async def test_a_head_must_arrive_in_time(settings: Settings) -> None:
    hasty = settings.model_copy(update={"request_receive_seconds": 0.2})
    async with serving(create_app(hasty), hasty) as port:
        assert await answers(port, b"") == []
        assert await answers(port, GOOD[:-2]) == [408]
        assert await answers(port, GOOD + GOOD[:-2]) == [200, 408]
        assert await answers(port, POST + b"Content-Length: 9\r\n\r\n{") == [408]
        assert await answers(port, CHUNKED + b"1\r\n{\r\n") == [408]


@pytest.mark.parametrize(("size", "status"), [(900, 200), (1100, 431)])
async def test_a_head_may_be_as_large_as_the_setting_says(
    settings: Settings, size: int, status: int
) -> None:
    short = settings.model_copy(update={"request_max_head_bytes": 1024})
    closing = GOOD[:-2] + b"Connection: close\r\n"
    head = closing + b"A: " + b"b" * (size - len(closing) - 7) + b"\r\n\r\n"
    async with serving(create_app(short), short) as port:
        assert await answers(port, head) == [status]
