"""uvicorn's HTTP/1.1 protocol, with limits to what it waits for and holds.

uvicorn alone waits for ever for the rest of a request's head, keeps a head of any size, goes on
working for a client that has gone, and keeps what a stalled reader does not read.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.config.settings import Settings
from app.edge.parser import RequestParser
from app.http.answers import ALWAYS, completed
from app.http.errors import BadRequest, HeadersTooLarge, Problem, RequestTimeout
from app.http.problems import encoded

MAX_HEADERS = 100
NOT_HTTP = "This is not a valid HTTP/1.1 request."


def options(settings: Settings) -> dict[str, Any]:
    """Arguments for uvicorn."""
    limits = {
        "receive_seconds": settings.request_receive_seconds,
        "stalled_seconds": settings.request_timeout_seconds,
        "max_head_bytes": settings.request_max_head_bytes,
    }
    return {
        "http": partial(BoundedProtocol, **limits),
        "ws": "none",
        "server_header": False,
        "proxy_headers": False,  # uvicorn would believe all of this machine; see forwarded.py
    }


class BoundedProtocol(HttpToolsProtocol):
    def __init__(
        self,
        *args: Any,
        receive_seconds: float,
        stalled_seconds: float,
        max_head_bytes: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        # uvicorn asks the loggers, which a worker's application has set up anew since.
        self.access_log = False  # telemetry.requests writes a line for each request
        self._receive_seconds = receive_seconds
        self._stalled_seconds = stalled_seconds
        self._max_head_bytes = max_head_bytes
        self._stray_bytes = 0  # received since anything came of them
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._unread_bytes = 0
        self._refusal: Problem = BadRequest(NOT_HTTP)
        self._work: asyncio.Task[None] | None = None
        self._service, self.app = self.app, self._serve
        self.parser = RequestParser(self)  # type: ignore[assignment]  # has what uvicorn uses

    # Receiving: a head must end in time, and within its size; trailers likewise.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own signature
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        self._stray_bytes += len(data)
        super().data_received(data)
        if self._stray_bytes > self._max_head_bytes and not self.transport.is_closing():
            self._refuse(HeadersTooLarge())
        if self._is_in_head or not self._is_busy:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._stray_bytes = 0
        self._forget_head_timer()
        self._check_head()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._stray_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._stray_bytes = 0
        super().on_message_complete()

    def _check_head(self) -> None:
        """Raising makes the parser stop; see send_400_response."""
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > self._max_head_bytes or len(self.headers) > MAX_HEADERS:
            self._refusal = HeadersTooLarge()
            raise self._refusal
        version = self.parser.get_http_version() if self.parser else ""
        if not _is_plain(version, self.headers):
            raise self._refusal

    def _await_head(self) -> None:
        if self._head_timer is None and self.timeout_keep_alive_task is None:
            self._head_timer = self.loop.call_later(self._receive_seconds, self._too_slow)

    def _forget_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    @property
    def _is_in_head(self) -> bool:
        return bool(self.parser) and self.parser.is_in_head

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

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._refusal)

    def _refuse(self, problem: Problem) -> None:
        """Requests before it on this connection are answered first, or nobody is."""
        if self._is_busy and not self.cycle.more_body:
            self.cycle.keep_alive = False
            self.flow.pause_reading()
        elif self.pipeline or (self._is_busy and self.cycle.response_started):
            self.transport.close()
        else:
            problem.headers["Connection"] = "close"
            self.transport.write(_written(problem))
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
            self._break_off()

    def _break_off(self) -> None:
        """End an answer in its middle, at once: what waits to be sent is not sent any more.

        The gate has logged why; uvicorn would log it once more.
        """
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


def _written(problem: Problem) -> bytes:
    own, body = encoded(problem)
    fields = completed(own, ALWAYS)
    lines = [name + b": " + value + b"\r\n" for name, value in fields]
    return b"".join([STATUS_LINE[problem.status], *lines, b"\r\n", body])
