"""uvicorn's HTTP/1.1 protocol, with limits to what it waits for and holds.

uvicorn alone waits for ever for the rest of a request's head, keeps a head of any size, takes
trailers for headers, loses a body that comes with an offer to upgrade, goes on working for a client
that has gone, and keeps what a stalled reader does not read.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from itertools import chain
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.config.settings import Settings
from app.http.errors import BadRequest, HeadersTooLarge, Problem, RequestTimeout
from app.http.exchange import written

MAX_HEADERS = 100
NOT_HTTP = "This is not a valid HTTP/1.1 request."
FRAMING = (b"content-length", b"transfer-encoding")


def options(settings: Settings) -> dict[str, Any]:
    """Arguments for uvicorn."""
    return {
        "http": partial(BoundedProtocol, settings=settings),
        "ws": "none",
        "server_header": False,
        "proxy_headers": False,  # uvicorn would believe all of this machine; see forwarded.py
    }


class BoundedProtocol(HttpToolsProtocol):
    def __init__(self, *args: Any, settings: Settings, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # uvicorn asks the loggers, which a worker's application has set up anew since.
        self.access_log = False  # telemetry.requests writes a line for each request
        self._receive_seconds = settings.request_receive_seconds
        self._stalled_seconds = settings.request_timeout_seconds
        self._max_head_bytes = settings.request_max_head_bytes
        self._stray_bytes = 0  # received since anything came of them
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._unread_bytes = 0
        self._refusal: Problem = BadRequest(NOT_HTTP)
        self._work: asyncio.Task[None] | None = None
        self._service, self.app = self.app, self._serve
        self._is_in_head = self._is_resuming = False

    # Receiving: a head must end in time, and within its size; trailers likewise.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own signature
        super().connection_made(transport)
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
        """Go on after an offer to upgrade (`h2c`, `TLS/1.2`, `websocket` …).

        httptools stops there, and takes the body for the first bytes of the other protocol. We
        speak HTTP/1.1 only and pass the offer over (RFC 9110, 7.8): a new parser reads the body,
        told by a short head of ours how long it is.
        """
        self.parser = HttpRequestParser(self)
        # As uvicorn has it: what follows a client's last request must not break its answer.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        if framing := _framing(self.headers):
            self._is_resuming = True
            self.parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n")
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

    def on_body(self, body: bytes) -> None:
        self._stray_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._stray_bytes = 0
        if not (self.parser.should_upgrade() and _framing(self.headers)):
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
            self._head_timer = self.loop.call_later(self._receive_seconds, self._too_slow)

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
        if self._stall_timer is not None:
            self._stall_timer.cancel()
        if self._work is not None and self._is_busy:
            self._work.cancel()

    # Sending: to somebody who reads.

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread_bytes = sys.maxsize  # whatever is written next, this was progress

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self._watch_reader()

    def _watch_reader(self) -> None:
        if self._stall_timer is None:
            self._unread_bytes = self.transport.get_write_buffer_size()
            self._stall_timer = self.loop.call_later(self._stalled_seconds, self._check_reader)

    def _check_reader(self) -> None:
        self._stall_timer = None
        unread = self.transport.get_write_buffer_size()
        if unread >= self._unread_bytes:
            self.transport.abort()
        elif unread:
            self._watch_reader()


def _is_plain(version: str, headers: list[tuple[bytes, bytes]]) -> bool:
    """Return False for a head that a proxy before us might read in another way than the parser."""
    hosts = [value for name, value in headers if name == b"host"]
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    if version == "1.1":
        return len(hosts) == 1 and codings in ([], [b"chunked"])
    return version == "1.0" and len(hosts) <= 1 and not codings


def _framing(headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return the header that says how long the body is, or nothing where there is none."""
    found = next(((name, value) for name, value in headers if name in FRAMING), None)
    if found is None or found[1].strip(b"0") == b"":
        return b""
    return found[0] + b": " + found[1] + b"\r\n"
