"""Keyset pages: no totals, no OFFSET; a page's cost does not depend on how deep it lies."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Sequence
from typing import Annotated, Literal, TypeVar
from uuid import UUID

from litestar.params import QueryParameter

from app.errors import Invalid

T = TypeVar("T")
MAX_LIMIT = 100
Limit = Annotated[
    int,
    QueryParameter(ge=1, le=MAX_LIMIT, description="How many items at most, 1 to 100."),
]
After = Annotated[
    str | None,
    QueryParameter(description="The `next` of the page before; opaque.", max_length=64),
]
Order = Annotated[
    Literal["desc", "asc"],
    QueryParameter(description="Newest first, or oldest first."),
]


def cursor_of(key: UUID | int) -> str:
    """The last item's key, so that a page continues where it ended whatever was added since."""
    packed = b"u" + key.bytes if isinstance(key, UUID) else b"i" + struct.pack(">q", key)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def uuid_after(cursor: str | None) -> UUID | None:
    """Raises Invalid for a cursor that no list of ids gave out."""
    if cursor is None:
        return None
    packed = _unpack(cursor)
    if packed[:1] != b"u" or len(packed) != 17:
        raise _bad_cursor()
    return UUID(bytes=packed[1:])


def position_after(cursor: str | None) -> int | None:
    """Raises Invalid for a cursor that no list of positions gave out."""
    if cursor is None:
        return None
    packed = _unpack(cursor)
    if packed[:1] != b"i" or len(packed) != 9:
        raise _bad_cursor()
    return int(struct.unpack(">q", packed[1:])[0])


def _unpack(cursor: str) -> bytes:
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _bad_cursor() from None


def _bad_cursor() -> Invalid:
    return Invalid.field("after", "Not a cursor of this list; take it from `next` as it is.")


def cut(rows: Sequence[T], limit: int) -> tuple[list[T], bool]:
    """Of limit + 1 rows asked for: the page, and whether there is another."""
    return list(rows[:limit]), len(rows) > limit
