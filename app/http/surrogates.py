"""Halves of surrogate pairs, such as `"\\ud83d"`: JSON may hold them, and no text in UTF-8 can.

Programs that cut a text by UTF-16 units send them, and msgspec refuses them.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from app.http.errors import BadRequest

# Not UTF-8, so found nowhere else: after no backslash of these begins an escape.
BACKSLASHES, APART = b"\\\\", b"\xff\xff"
HIGH, LOW = rb"[dD][89abAB][0-9a-fA-F]{2}", rb"[dD][c-fC-F][0-9a-fA-F]{2}"
# This matches the beginning of a half's escape. A replacement that repeats groups would take three
# times as long: 0.6 s for 4 MB of halves, in which nobody else is answered.
BEGINS_HALF = re.compile(rb"\\u(?=%b(?!\\u%b))|(?<!\\u%b)\\u(?=%b)" % (HIGH, LOW, HIGH, LOW))
HALF = re.compile(rb"(?:%b)[0-9a-fA-F]{4}" % BEGINS_HALF.pattern)
PRIVATE = range(0x10FFFD, 0x100000, -1)  # characters that nobody uses


class Marked(NamedTuple):
    """JSON in which a mark and its four digits stand for each half: `mark` is nowhere else."""

    text: bytes
    mark: str

    def restored(self, text: str) -> str:
        """Write the halves again as the escapes that they were."""
        return re.sub(f"{self.mark}(?=[0-9a-fA-F]{{4}})", r"\\u", text)

    def restored_json(self, json: Raw) -> Raw:
        return Raw(self.restored(bytes(json).decode()).encode())

    def without(self, text: str) -> str:
        """Write U+FFFD in the place of each half."""
        return re.sub(f"{self.mark}[0-9a-fA-F]{{4}}", "\N{REPLACEMENT CHARACTER}", text)


def marked(body: bytes) -> Marked:
    """Raises UnicodeDecodeError for what is not UTF-8."""
    body.decode()
    mark = _unused(body)
    return Marked(_replaced(BEGINS_HALF, body, mark.encode()), mark)


def decode_marked(body: bytes, shape: type[Any]) -> tuple[Any, Marked]:
    """Decode it with marks in the place of its halves. Raises BadRequest where none is at fault."""
    found = marked(body)
    if found.text == body:
        raise BadRequest
    return msgspec.json.decode(found.text, type=shape), found


def without_halves(body: bytes) -> bytes:
    """Write the escape of U+FFFD in the place of each half, in as many bytes."""
    return _replaced(HALF, body, rb"\\ufffd")


def _replaced(what: re.Pattern[bytes], body: bytes, replacement: bytes) -> bytes:
    apart = body.replace(BACKSLASHES, APART)
    return what.sub(replacement, apart).replace(APART, BACKSLASHES)


def _unused(body: bytes) -> str:
    """Find a character that is not in the body, in whichever form."""
    escapes = body.lower()
    return next(
        mark
        for mark in map(chr, PRIVATE)
        if mark.encode() not in body and json.dumps(mark)[1:-1].encode() not in escapes
    )
