"""An offer to upgrade is passed over, and the body that comes with it is read; trailers are not."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from typing import Any

import httptools
import pytest
import uvicorn
from uvicorn.server import ServerState

from app.config.settings import Settings
from app.edge.draining import server_options
from tests.support.factories import World, a_session
from tests.support.servers import LOUD, Servers
from tests.support.wire import PATIENCE_SECONDS, Wire, bounded, service, serving, wired

BODY = b'{"title":"x"}'
LENGTH = b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n5\r\n%s\r\n8;ext=1\r\n%s\r\n0\r\n\r\n" % (
    BODY[:5],
    BODY[5:],
)
OFFERS = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    "tls": b"Upgrade: TLS/1.2, TLS/1.3\r\nConnection: upgrade\r\n",
    "websocket": b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n",
    "anything": b"UPGRADE: bicameral/7\r\nconnection: x, UPGRADE\r\n",
    "last": b"Connection: close, Upgrade\r\nUpgrade: h2c\r\n",
}
NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """An application that answers with what it was sent: method, path, body and headers' names."""

    async def echo(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        names = sorted({name.decode() for name, _ in scope["headers"]})
        answer = json.dumps([scope["method"], scope["path"], body.decode(), names]).encode()
        length = (b"content-length", b"%d" % len(answer))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": answer})

    async with serving(echo, Settings.model_validate({"request_max_head_bytes": 2048})) as port:
        yield port


async def answered(wire: Wire) -> list[Any]:
    """The next answer, past any `100 Continue`."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        head = b""
        while b"200 OK" not in head:
            head = await wire.reader.readuntil(b"\r\n\r\n")
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return json.loads(await wire.reader.readexactly(length))


class Memory(asyncio.Transport):
    """A client's connection, which nobody reads."""

    def write(self, data: Any) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def close(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def bodies_in(*parts: bytes) -> list[bytes]:
    """Return the body of each request that the protocol reads from the parts."""
    bodies: list[bytes] = []

    async def keep(_: Any, receive: Any, send: Any) -> None:
        bodies.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    config = uvicorn.Config(keep, lifespan="off", **server_options(Settings.model_validate({})))
    config.load()
    server = ServerState()
    protocol: Any = config.http_protocol_class
    protocol = protocol(config=config, server_state=server, app_state={})
    protocol.connection_made(Memory())
    for part in parts:
        protocol.data_received(part)
    await asyncio.gather(*server.tasks)
    protocol.connection_lost(None)
    return bodies


@pytest.mark.parametrize("framed", [LENGTH, CHUNKS], ids=["length", "chunks"])
@pytest.mark.parametrize("name", OFFERS)
async def test_a_body_behind_an_upgrade_offer_is_read_wherever_it_is_cut(
    name: str, framed: bytes
) -> None:
    request = b"POST /it HTTP/1.1\r\nHost: x\r\n" + OFFERS[name] + framed
    for cut in range(len(request)):
        assert await bodies_in(request[:cut], request[cut:]) == [BODY], request[:cut]


@bounded
@pytest.mark.parametrize("more", [b"", b"Expect: 100-continue\r\n"], ids=["", "expected"])
@pytest.mark.parametrize("framed", [LENGTH, CHUNKS], ids=["length", "chunks"])
@pytest.mark.parametrize("name", OFFERS)
async def test_the_application_gets_the_body_behind_an_upgrade_offer(
    port: int, name: str, framed: bytes, more: bytes
) -> None:
    async with wired(port) as wire:
        await wire.send(b"POST /it HTTP/1.1\r\nHost: x\r\n" + more + OFFERS[name] + framed)
        assert (await answered(wire))[:3] == ["POST", "/it", BODY.decode()]


@bounded
async def test_a_body_behind_an_upgrade_offer_may_wait_for_100_continue(port: int) -> None:
    head, _, body = LENGTH.partition(b"\r\n\r\n")
    head = b"POST /it HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n" + OFFERS["h2c"] + head
    async with wired(port) as wire:
        await wire.send(head + b"\r\n\r\n")
        assert b"100 Continue" in await wire.reader.readuntil(b"\r\n\r\n")
        await wire.send(body)
        assert (await answered(wire))[:3] == ["POST", "/it", BODY.decode()]


@bounded
async def test_an_upgrade_offer_may_come_one_byte_at_a_time(port: int) -> None:
    async with wired(port) as wire:
        for byte in b"POST /it HTTP/1.1\r\nHost: x\r\n" + OFFERS["h2c"] + CHUNKS + NEXT:
            await wire.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await answered(wire))[:3] == ["POST", "/it", BODY.decode()]
        assert (await answered(wire))[:3] == ["GET", "/next", ""]


@bounded
@pytest.mark.parametrize("framed", [LENGTH, CHUNKS, b"Content-Length: 00\r\n\r\n", b"\r\n"])
async def test_the_connection_goes_on_after_an_upgrade_offer(port: int, framed: bytes) -> None:
    """Requests that were sent along are answered, also those with an offer of their own."""
    offer = b"POST /it HTTP/1.1\r\nHost: x\r\n" + OFFERS["h2c"] + framed
    async with wired(port) as wire:
        await wire.send((offer + NEXT) * 3)
        for _ in range(3):
            assert (await answered(wire))[1] == "/it"
            assert (await answered(wire))[:3] == ["GET", "/next", ""]


@bounded
async def test_an_upgrade_offer_with_connection_close_gets_one_answer(port: int) -> None:
    async with wired(port) as wire:
        await wire.send(b"POST /it HTTP/1.1\r\nHost: x\r\n" + OFFERS["last"] + LENGTH + NEXT)
        assert (await wire.until_closed()).count(b"HTTP/1.1 200") == 1


def test_control_httptools_alone_loses_the_body_behind_an_upgrade_offer() -> None:
    """The negative control: should it ever go on by itself, `_pass_over` can go."""
    bodies: list[bytes] = []

    class Reader:
        on_body = bodies.append

        def on_headers_complete(self) -> None: ...

    parser = httptools.HttpRequestParser(Reader())
    with pytest.raises(httptools.HttpParserUpgrade):
        parser.feed_data(b"POST /it HTTP/1.1\r\nHost: x\r\n" + OFFERS["h2c"] + LENGTH)
    assert bodies == []


@bounded
@pytest.mark.parametrize("offer", [b"", OFFERS["h2c"]], ids=["plain", "offer"])
async def test_trailers_are_no_headers(port: int, offer: bytes) -> None:
    head = b"POST /it HTTP/1.1\r\nHost: x\r\n" + offer + CHUNKS[:-2]
    async with wired(port) as wire:
        await wire.send(head + b"Authorization: Bearer x\r\nExpect: 100-continue\r\n\r\n" + NEXT)
        method, _, body, names = await answered(wire)
        assert (method, body) == ("POST", BODY.decode())
        assert not {"authorization", "expect"} & set(names)
        assert (await answered(wire))[:3] == ["GET", "/next", ""]


@bounded
@pytest.mark.parametrize("path", [b"/it", b"/health/live"])
@pytest.mark.parametrize(
    "endless", [b"X-T: " + b"a" * 500 + b"\r\n", b"a" * 512, b"5;" + b"a" * 510]
)
async def test_trailers_and_extensions_are_bounded(
    settings: Settings, port: int, path: bytes, endless: bytes
) -> None:
    """Many, one without end, and a chunk's extension without end; answered or not yet."""
    opening = b"0\r\n" if endless[:1] != b"5" else b""
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" % path
    async with wired(port) as wire:
        await wire.send(head + b"1\r\nx\r\n" + opening + endless)
        with pytest.raises(ConnectionError):
            await send_for_ever(wire, endless.removeprefix(b"5;"))


async def send_for_ever(wire: Wire, data: bytes) -> None:
    while True:
        await wire.send(data)
        await asyncio.sleep(0)


@bounded
@pytest.mark.skipif(not shutil.which("curl"), reason=f"{LOUD}: there is no curl")
async def test_curl_offers_http2_and_nothing_is_lost(servers: Servers, database: str) -> None:
    async with service(servers, database) as it:
        alice = await it.world.member()
        answer = await curl(it.port, it.world, alice.http.headers["authorization"])
        assert (answer["title"], answer["message_count"]) == ("x", 0)
        assert (await a_session(alice))["title"] == "New Conversation"


async def curl(port: int, world: World, authorization: str) -> dict[str, Any]:
    command = ["curl", "-sS", "--http2", f"http://127.0.0.1:{port}/v1/chat-sessions"]
    command += ["-H", f"Authorization: {authorization}", "-H", "Content-Type: application/json"]
    process = await asyncio.create_subprocess_exec(*command, "-d", BODY.decode(), stdout=-1)
    out, _ = await process.communicate()
    return json.loads(out)
