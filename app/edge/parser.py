"""This reads requests with httptools, past offers to upgrade and without trailers.

httptools stops at an offer to upgrade (`h2c`, `TLS/1.2`, `websocket` …) and takes the body for the
first bytes of the other protocol. We speak HTTP/1.1 only and pass the offer over (RFC 9110, 7.8):
a new parser reads the body, told by a short head of ours how long it is.

Trailers would come as further headers, after all checks of the head: they are dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from httptools import HttpParserUpgrade, HttpRequestParser

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

FRAMING = (b"content-length", b"transfer-encoding")


class RequestParser:
    """Has httptools' own methods, and calls the protocol's as httptools does."""

    def __init__(self, protocol: HttpToolsProtocol) -> None:
        self.is_in_head = False
        self._is_resuming = False
        self._protocol = protocol
        self.on_body = protocol.on_body
        self._start()

    def _start(self) -> None:
        self._parser = HttpRequestParser(self)
        # As uvicorn has it: what follows a client's last request must not break that one's answer.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.get_method = self._parser.get_method
        self.get_http_version = self._parser.get_http_version
        self.should_keep_alive = self._parser.should_keep_alive
        self.should_upgrade = self._parser.should_upgrade

    def feed_data(self, data: bytes) -> None:
        """Raises HttpParserError."""
        while data:
            try:
                self._parser.feed_data(data)
            except HttpParserUpgrade as offer:
                data = data[offer.args[0] :]
                self._resume()
            else:
                return

    def _resume(self) -> None:
        framing = self._framing()
        self._start()
        if framing:
            self._is_resuming = True
            self._parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n")
            self._is_resuming = False

    def _framing(self) -> bytes:
        """Return the header that says how long the body is, or nothing where there is none."""
        found = [(name, value) for name, value in self._protocol.headers if name in FRAMING]
        if not found or found[0][1].strip(b"0") == b"":
            return b""
        return found[0][0] + b": " + found[0][1] + b"\r\n"

    def on_message_begin(self) -> None:
        if not self._is_resuming:
            self.is_in_head = True
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if self.is_in_head:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.is_in_head:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.is_in_head:
            self.is_in_head = False
            self._protocol.on_headers_complete()

    def on_message_complete(self) -> None:
        if not (self.should_upgrade() and self._framing()):
            self._protocol.on_message_complete()
