"""A message is at most 1 MiB of JSON in UTF-8, unescaped: however it is written, it is as large.

A text of up to 262,144 characters is taken whatever its bytes, as it was before this bound.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Raw, Struct

from app.chat.schemas import MessageEdit, NewMessage
from app.http.errors import PayloadTooLarge
from app.http.surrogates import without_halves

MESSAGE_BYTES = 1 << 20
ANY_TEXT = 262_144  # characters
LONGEST_ESCAPE = 6  # bytes of JSON for one of UTF-8
# Each kind of escape, and as many bytes as its character has. Only in this order does each find
# none that begins in the middle of another.
ESCAPES = [
    (re.compile(rb"\\\\"), b"1"),
    (re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F].."), b"4444"),
    (re.compile(rb"\\u00[0-7]."), b"1"),
    (re.compile(rb"\\u0[0-7].."), b"22"),
    (re.compile(rb"\\u...."), b"333"),
    (re.compile(rb"\\."), b"1"),
]


class Sent(Struct):
    messages: list[Raw]


def check_sizes(body: bytes, messages: Sequence[NewMessage | MessageEdit]) -> None:
    """Raises PayloadTooLarge for a message among these, which are all of the body's."""
    for number, sent in enumerate(_written(body)):
        content = messages[number].content
        if isinstance(content, str) and len(content) <= ANY_TEXT:
            continue
        if not is_within(sent):
            raise PayloadTooLarge(f"A message may have 1 MiB; that of index {number} has more.")


def is_within(sent: bytes) -> bool:
    """Tell whether the JSON of a message is small enough."""
    if len(sent) <= MESSAGE_BYTES:
        return True
    return len(sent) <= LONGEST_ESCAPE * MESSAGE_BYTES and _unescaped(sent) <= MESSAGE_BYTES


def _unescaped(sent: bytes) -> int:
    for escape, as_long in ESCAPES:
        sent = escape.sub(as_long, sent)
    return len(sent)


def _written(body: bytes) -> Iterable[bytes]:
    """The JSON of each message of the body."""
    try:
        batch = msgspec.json.decode(without_halves(body), type=Sent)
    except msgspec.ValidationError:
        return [body.strip()]
    return map(bytes, batch.messages)
