"""An answer of known length leaves in one piece; others leave as uvicorn writes them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from app.config.settings import Settings
from app.edge.draining import server_options

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LENGTH = (b"content-length", b"2")
OK = b"HTTP/1.1 200 OK\r\n"


class Written(asyncio.Transport):
    """Keeps what is written to a client, call by call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[bytes] = []
        self.is_closed = False

    def write(self, data: Any) -> None:
        if data:
            self.calls.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def start(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": 200, "headers": list(headers)}


def body(part: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": part, "more_body": more}


async def written(*messages: dict[str, Any], request: bytes = GET) -> Written:
    """Let an application answer the request with these messages."""

    async def answer(_: Any, __: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    config = uvicorn.Config(answer, lifespan="off", **server_options(Settings.model_validate({})))
    config.load()
    server, transport = ServerState(), Written()
    protocol: Any = config.http_protocol_class
    protocol = protocol(config=config, server_state=server, app_state={})
    protocol.connection_made(transport)
    protocol.data_received(request)
    while server.tasks:
        await asyncio.gather(*server.tasks)
    protocol.connection_lost(ConnectionResetError())
    return transport


async def test_head_and_body_leave_in_one_call() -> None:
    etag = (b"etag", b'"1"')
    transport = await written(start(LENGTH, etag), body(b"ok"))
    assert transport.calls == [OK + b'content-length: 2\r\netag: "1"\r\n\r\nok']


async def test_requests_sent_at_once_are_answered_one_by_one() -> None:
    transport = await written(start(LENGTH), body(b"ok"), request=GET + GET)
    assert transport.calls == [OK + b"content-length: 2\r\n\r\nok"] * 2
    assert not transport.is_closed


@pytest.mark.parametrize(
    ("request_line", "end"),
    [(b"HEAD / HTTP/1.1", b""), (b"GET / HTTP/1.0", b"ok")],
    ids=["no body", "no next request"],
)
async def test_an_answer_that_is_not_usual_is_uvicorns(request_line: bytes, end: bytes) -> None:
    transport = await written(
        start(LENGTH), body(b"ok"), request=request_line + b"\r\nHost: x\r\n\r\n"
    )
    head = b"".join(transport.calls)
    assert head.startswith(OK + b"content-length: 2\r\n")
    assert head.endswith(b"\r\n\r\n" + end)
    assert transport.is_closed == (b"1.0" in request_line)


async def test_an_answer_that_closes_its_connection_does() -> None:
    transport = await written(start(LENGTH, (b"connection", b"close")), body(b"ok"))
    assert b"".join(transport.calls).endswith(b"connection: close\r\n\r\nok")
    assert transport.is_closed


async def test_the_head_of_a_stream_leaves_before_its_body() -> None:
    head, *chunks = (await written(start(), body(b"a", more=True), body(b"b"))).calls
    assert head == OK + b"transfer-encoding: chunked\r\n\r\n"
    assert b"".join(chunks) == b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"


@pytest.mark.parametrize("parts", [(b"o", b"k"), (b"ok", b"")])
async def test_a_body_of_known_length_may_come_in_parts(parts: tuple[bytes, bytes]) -> None:
    transport = await written(start(LENGTH), body(parts[0], more=True), body(parts[1]))
    assert b"".join(transport.calls) == OK + b"content-length: 2\r\n\r\nok"
    assert not transport.is_closed


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"a\0b", b"a\x7fb"])
async def test_a_header_that_would_be_two_is_never_sent(value: bytes) -> None:
    transport = await written(start(LENGTH, (b"etag", value)), body(b"ok"))
    assert transport.calls == []
    assert transport.is_closed


@pytest.mark.parametrize("sent", [b"", b"long"])
async def test_a_body_of_another_length_is_no_answer(sent: bytes) -> None:
    transport = await written(start(LENGTH), body(sent))
    assert transport.calls == [OK + b"content-length: 2\r\n\r\n"]
    assert transport.is_closed


async def test_an_application_that_ends_before_its_body_is_a_500() -> None:
    transport = await written(start(LENGTH))
    assert b"".join(transport.calls).startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert transport.is_closed


async def test_nothing_is_answered_twice() -> None:
    transport = await written(start(LENGTH), body(b"ok"), start(LENGTH), body(b"no"))
    assert b"".join(transport.calls) == OK + b"content-length: 2\r\n\r\nok"
