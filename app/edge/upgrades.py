"""An offer to upgrade (`h2c`, `TLS/1.2`, `websocket` …) is passed over (RFC 9110, 7.8).

We speak HTTP/1.1 only. httptools stops at such an offer, and takes the body for the first bytes of
the other protocol. So a new parser reads the body, told by a short head of ours how long it is.
"""

from __future__ import annotations

from httptools import HttpRequestParser

FRAMING = (b"content-length", b"transfer-encoding")


def new_parser(protocol: object) -> HttpRequestParser:
    parser = HttpRequestParser(protocol)
    # As uvicorn has it: what follows a client's last request must not break its answer.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def head_for(framing: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\n" + framing + b"\r\n"


def framing_in(headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return the header that says how long the body is, or nothing where there is none."""
    found = next(((name, value) for name, value in headers if name in FRAMING), None)
    if found is None or found[1].strip(b"0") == b"":
        return b""
    return found[0] + b": " + found[1] + b"\r\n"
