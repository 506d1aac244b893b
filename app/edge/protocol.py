"""uvicorn's HTTP/1.1 protocol, with limits to what it waits for and holds.

uvicorn alone waits for ever for the rest of a request's head, keeps a head of any size, takes
trailers for headers, loses a body that comes with an offer to upgrade, goes on working for a client
that has gone, and keeps what a stalled reader does not read.
"""

from __future__ import annotations

import asyncio
from itertools import chain
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade
from uvicorn.protocols.http import httptools_impl as uvicorn

from app.config.settings import Settings
from app.edge.readers import StalledReader
from app.edge.upgrades import framing_in, head_for, new_parser
from app.http.errors import BadRequest, HeadersTooLarge, Problem, RequestTimeout
from app.http.exchange import written

MAX_HEADERS = 100
NOT_HTTP = "This is not a valid HTTP/1.1 request."
LENGTH, CONNECTION = b"\r\ncontent-length: ", b"\r\nconnection: "
CODING = b"transfer-encoding"
CONTROLS = bytes({*range(32), 127} - {ord("\t")})


class BoundedProtocol(uvicorn.HttpToolsProtocol):
    def __init__(self, *args: Any, settings: Settings, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # uvicorn asks the loggers, which a worker's application has set up anew since.
        self.access_log = False  # telemetry.requests writes a line for each request
        self._settings = settings
        self._max_head_bytes = settings.request_max_head_bytes
        self._stray_bytes = 0  # received since anything came of them
        self._head_timer: asyncio.TimerHandle | None = None
        self._refusal: Problem = BadRequest(NOT_HTTP)
        self._work: asyncio.Task[None] | None = None
        self._service, self.app = self.app, self._serve
        self._is_in_head = self._is_resuming = False

    # Receiving: a head must end in time, and within its size; trailers likewise.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own signature
        super().connection_made(transport)
        self._reader = StalledReader(transport, self._settings.request_timeout_seconds)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        self._stray_bytes += len(data)
        try:
            self._feed(data)
        except HttpParserError:
            self._refuse(self._refusal)
        if self._stray_bytes > self._max_head_bytes and not self.transport.is_closing():
            self._refuse(HeadersTooLarge())
        if self._is_in_head or not self._is_busy:
            self._await_head()

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
            except HttpParserUpgrade as offer:
                data = data[offer.args[0] :]
                self._pass_over()
            else:
                return

    def _pass_over(self) -> None:
        """Go on after an offer to upgrade, with the body that it may have come with."""
        self.parser = new_parser(self)
        if framing := framing_in(self.headers):
            self._is_resuming = True
            self.parser.feed_data(head_for(framing))
            self._is_resuming = False

    def on_message_begin(self) -> None:
        if not self._is_resuming:
            self._is_in_head = True
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        if self._is_in_head:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Trailers, which come after all checks of the head, are dropped."""
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._is_in_head:
            self._is_in_head, self._stray_bytes = False, 0
            self._forget_head_timer()
            self._check_head()
            super().on_headers_complete()
            self.cycle.__class__ = OnePiece

    def on_body(self, body: bytes) -> None:
        self._stray_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._stray_bytes = 0
        if not (self.parser.should_upgrade() and framing_in(self.headers)):
            super().on_message_complete()

    def _check_head(self) -> None:
        """Raising makes the parser stop."""
        size = len(self.url) + sum(map(len, chain.from_iterable(self.headers)))
        if size > self._max_head_bytes or len(self.headers) > MAX_HEADERS:
            self._refusal = HeadersTooLarge()
            raise self._refusal
        if not _is_plain(self.parser.get_http_version(), self.headers):
            raise self._refusal

    def _await_head(self) -> None:
        if self._head_timer is None and self.timeout_keep_alive_task is None:
            seconds = self._settings.request_receive_seconds
            self._head_timer = self.loop.call_later(seconds, self._too_slow)

    def _forget_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    @property
    def _is_busy(self) -> bool:
        """There is a request whose answer has not ended."""
        return bool(self.cycle) and not self.cycle.response_complete

    def _too_slow(self) -> None:
        if self._is_in_head:
            self._refuse(RequestTimeout())
        else:
            self.transport.close()

    # Refusing: what is no request is answered, and its connection is at an end.

    def _refuse(self, problem: Problem) -> None:
        """Requests before it on this connection are answered first, or nobody is."""
        if self._is_busy and not self.cycle.more_body:
            self.cycle.keep_alive = False
            self.flow.pause_reading()
        elif self.pipeline or (self._is_busy and self.cycle.response_started):
            self.transport.close()
        else:
            problem.headers["Connection"] = "close"
            self.transport.write(written(problem))
            self.transport.close()

    # Working: for as long as the client is there.

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        self._work = asyncio.current_task()
        try:
            await self._service(scope, receive, send)
        except asyncio.CancelledError:
            if not self.transport.is_closing():
                raise
        except Exception:
            if not self._is_busy or not self.cycle.response_started:
                raise
            # The gate has logged why, and uvicorn would log it once more. The answer ends in its
            # middle, at once: what waits to be sent is not sent any more.
            self.cycle.disconnected = True
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._forget_head_timer()
        self._reader.stop()
        if self._work is not None and self._is_busy:
            self._work.cancel()

    # Sending: to somebody who reads.

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reader.watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reader.note_progress()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self._reader.watch()


class OnePiece(uvicorn.RequestResponseCycle):
    """Writes head and body of an answer of known length at once; all others are left to uvicorn.

    That takes two system calls, each of which wakes the client, and searches header by header.
    """

    _start: Any = None  # of an answer, which waits for the body: that follows at once
    _head = b""

    async def send(self, message: Any) -> None:
        start, self._start = self._start, None
        if message["type"] == "http.response.start":
            if self._is_held(message):
                return
        elif start is not None:
            if self._has_written(message.get("body", b""), message.get("more_body", False)):
                return
            await super().send(start)
        await super().send(message)

    def _is_held(self, start: Any) -> bool:
        headers = [*self.default_headers, *start["headers"]]
        lines = b"\r\n".join(map(b": ".join, headers))
        self._head = head = b"%b%b\r\n\r\n" % (uvicorn.STATUS_LINE[start["status"]], lines)
        # A header must not have a line's end, or another control character, but the one put there.
        controls = len(head) - len(head.translate(None, CONTROLS))
        is_well_formed = controls == 2 * head.count(b"\r\n") == 2 * len(headers) + 4
        has_body = LENGTH in head and self.scope["method"] != "HEAD"
        if is_well_formed and has_body and CONNECTION not in head and not self.response_started:
            self._start = start
        return self._start is not None

    def _has_written(self, body: bytes, more: bool) -> bool:
        is_open = self.keep_alive and not (self.disconnected or self.flow.write_paused)
        if more or not is_open or b"%b%d\r\n" % (LENGTH, len(body)) not in self._head:
            return False
        self.response_started = self.response_complete = True
        self.message_event.set()
        self.transport.write(self._head + body)
        self.on_response()
        return True


def _is_plain(version: str, headers: list[tuple[bytes, bytes]]) -> bool:
    """Return False for a head that a proxy before us might read in another way than the parser."""
    names = [name for name, _ in headers]
    if CODING in names:
        codings = [value.lower() for name, value in headers if name == CODING]
        return version == "1.1" and codings == [b"chunked"] and names.count(b"host") == 1
    hosts = names.count(b"host")
    return hosts == 1 if version == "1.1" else version == "1.0" and hosts <= 1
