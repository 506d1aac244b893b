"""Keyset pages: no totals, no OFFSET; a page's cost does not depend on how deep it lies."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable, Sequence
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
ID_CURSOR = re.compile(r"^[A-Za-z0-9_-]{21}[AQgw]$")
POSITION_CURSOR = re.compile(r"^[A-Za-z0-9_-]{10}[AEIMQUYcgkosw048]$")
FROM_BEFORE = "The `next` of the page before; opaque."
After = Annotated[str | None, QueryParameter(description=FROM_BEFORE, pattern=ID_CURSOR.pattern)]
AfterPosition = Annotated[
    str | None, QueryParameter(description=FROM_BEFORE, pattern=POSITION_CURSOR.pattern)
]
Order = Annotated[
    Literal["desc", "asc"],
    QueryParameter(title="Order", description="Newest first, or oldest first."),
]


def cut(
    rows: Sequence[T], limit: int, key: Callable[[T], UUID | int]
) -> tuple[Sequence[T], str | None]:
    """Split the `limit + 1` rows asked for into the page and the cursor of the page after it.

    There is no cursor when nothing follows. `key` gives what a row is found by again.
    """
    page = rows[:limit]
    return page, cursor_of(key(page[-1])) if len(rows) > limit else None


def cursor_of(key: UUID | int) -> str:
    """Pack the last item's key: a page continues after it, whatever was added since."""
    packed = key.bytes if isinstance(key, UUID) else struct.pack(">q", key)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def uuid_after(cursor: str | None) -> UUID | None:
    """Raises Invalid for a cursor that no list of ids gave out."""
    return None if cursor is None else UUID(bytes=_unpack(cursor, ID_CURSOR))


def position_after(cursor: str | None) -> int | None:
    """Raises Invalid for a cursor that no list of positions gave out."""
    if cursor is None:
        return None
    return int(struct.unpack(">q", _unpack(cursor, POSITION_CURSOR))[0])


def _unpack(cursor: str, form: re.Pattern[str]) -> bytes:
    # Python's `$` stands before a last line feed, too; the pattern is what the document shows.
    if not form.fullmatch(cursor):
        raise Invalid.field("after", "Not a cursor of this list; take it from `next` as it is.")
    return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
