"""The gate stands before an application of the tests' own, which answers when it is told to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from app.config.settings import Settings
from app.edge.bodies import SMALL_BYTES
from app.edge.limits import TokenLimits
from app.edge.refusals import TOO_LONG
from tests.support.gates import gated
from tests.support.log_lines import events
from tests.support.wire import bounded, serving, wired

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"


@dataclass
class Streams:
    """Begins each answer at once, and ends it when it may."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    received: list[Any] = field(default_factory=list[Any])

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        self.begun.set()
        self.received.append(await receive())
        await self.may_end.wait()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@pytest.fixture
def streams() -> Streams:
    return Streams()


@pytest.fixture
async def client(streams: Streams) -> AsyncIterator[httpx.AsyncClient]:
    """Before a place that is taken for as long as it likes."""
    asgi = gated(streams, request_queue=1, request_timeout_seconds=0.2)
    transport = httpx.ASGITransport(app=asgi)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
        first = asyncio.ensure_future(http.get("/"))
        await streams.begun.wait()
        yield http
        streams.may_end.set()
        assert (await first).status_code == 200


@bounded
async def test_a_request_that_queues_in_vain_is_503(client: httpx.AsyncClient) -> None:
    answer = await client.get("/")
    assert (answer.status_code, answer.json()["detail"]) == (503, TOO_LONG)
    assert "x-should-retry" not in answer.headers  # it changes nothing, so it may be repeated


@bounded
async def test_an_answer_that_breaks_off_is_logged_without_its_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def breaks(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError("what was said")

    async with serving(gated(breaks), Settings.model_validate({})) as port, wired(port) as wire:
        await wire.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in await wire.until_closed()
    logged = capsys.readouterr().err
    [line] = events(logged, "answer_broken_off")
    assert (line["error"], "what was said" in logged) == ("ValueError", False)


@bounded
async def test_a_body_that_is_too_long_is_not_waited_for(streams: Streams) -> None:
    """Neither one that says so, before it is asked for, nor one that comes in chunks."""
    size = SMALL_BYTES + 1
    asks = HEAD + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % size
    grows = HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % size + b"x" * size + b"\r\n"
    async with serving(gated(streams), Settings.model_validate({})) as port:
        for begun in (asks, grows):
            async with wired(port) as wire:
                await wire.send(begun)
                assert await wire.status() == 413
    assert not streams.received


@bounded
async def test_a_client_that_goes_while_sending_is_not_waited_for(streams: Streams) -> None:
    """A server of another kind than ours says so, and does not cancel the request."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None: ...

    streams.may_end.set()
    headers = [(b"content-length", b"9")]
    scope: Any = {"type": "http", "method": "POST", "headers": headers, "client": None}
    await gated(streams)(scope, receive, send)
    assert streams.received == [{"type": "http.disconnect"}]


def test_a_quiet_token_saves_up_no_more_than_the_burst() -> None:
    limits = TokenLimits(per_second=100, burst=1)
    limits.wait_seconds("token")
    began = time.monotonic()
    while time.monotonic() < began + 0.3:  # thirty could be made in this time
        pass
    began = time.monotonic()
    made = sum(limits.wait_seconds("token") == 0 for _ in range(100))
    assert made <= 2 + 100 * (time.monotonic() - began)
