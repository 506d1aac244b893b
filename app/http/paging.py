"""Keyset pages: no totals, no OFFSET; a page's cost does not depend on how deep it lies."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Sequence
from typing import Annotated, Literal, TypeVar
from uuid import UUID

from litestar.params import QueryParameter

from app.http.errors import Invalid

T = TypeVar("T")
MAX_LIMIT = 100
Limit = Annotated[
    int,
    QueryParameter(ge=1, le=MAX_LIMIT, description="How many items at most, 1 to 100."),
]
# Every text of these forms is a cursor, 16 and 8 bytes as base64url; any other is refused.
OF_ID = re.compile(r"^[A-Za-z0-9_-]{21}[AQgw]$(?!\n)")
OF_POSITION = re.compile(r"^[A-Za-z0-9_-]{10}[AEIMQUYcgkosw048]$(?!\n)")
FROM_BEFORE = "The `next` of the page before; opaque."
After = Annotated[str | None, QueryParameter(description=FROM_BEFORE, pattern=OF_ID.pattern)]
AfterPosition = Annotated[
    str | None, QueryParameter(description=FROM_BEFORE, pattern=OF_POSITION.pattern)
]
Order = Annotated[
    Literal["desc", "asc"],
    QueryParameter(description="Newest first, or oldest first."),
]


def cursor_of(key: UUID | int) -> str:
    """The last item's key, so that a page continues where it ended whatever was added since."""
    packed = key.bytes if isinstance(key, UUID) else struct.pack(">q", key)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def uuid_after(cursor: str | None) -> UUID | None:
    """Raises Invalid for a cursor that no list of ids gave out."""
    return None if cursor is None else UUID(bytes=_unpack(cursor, OF_ID))


def position_after(cursor: str | None) -> int | None:
    """Raises Invalid for a cursor that no list of positions gave out."""
    return None if cursor is None else int(struct.unpack(">q", _unpack(cursor, OF_POSITION))[0])


def _unpack(cursor: str, form: re.Pattern[str]) -> bytes:
    if not form.match(cursor):
        raise Invalid.field("after", "Not a cursor of this list; take it from `next` as it is.")
    return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))


def cut(rows: Sequence[T], limit: int) -> tuple[list[T], bool]:
    """Of limit + 1 rows asked for: the page, and whether there is another."""
    return list(rows[:limit]), len(rows) > limit
