"""Keyset pages: no totals, no OFFSET; a page's cost does not depend on how deep it lies."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, NamedTuple, TypeVar
from uuid import UUID

from litestar.params import QueryParameter

from app.http.errors import Invalid
from app.http.words import pattern

T = TypeVar("T")
MAX_LIMIT = 100
Limit = Annotated[
    int,
    QueryParameter(ge=1, le=MAX_LIMIT, description="How many items at most, 1 to 100."),
]
# Every text of these forms is a cursor, as base64url; any other is refused. A list's cursor holds
# 7 bytes of microseconds and 16 of an id. Those given out by versions before hold the id alone.
PLACE_CURSOR = re.compile(r"^([A-Za-z0-9_-]{21}[AQgw]|[A-Za-z0-9_-]{30}[AEIMQUYcgkosw048])$")
POSITION_CURSOR = re.compile(r"^[A-Za-z0-9_-]{10}[AEIMQUYcgkosw048]$")
NO_CURSOR = "Not a cursor of this list; take it from `next` as it is."
FROM_BEFORE = "The `next` of the page before; opaque."
pattern(PLACE_CURSOR.pattern, NO_CURSOR)
pattern(POSITION_CURSOR.pattern, NO_CURSOR)
After = Annotated[str | None, QueryParameter(description=FROM_BEFORE, pattern=PLACE_CURSOR.pattern)]
AfterPosition = Annotated[
    str | None, QueryParameter(description=FROM_BEFORE, pattern=POSITION_CURSOR.pattern)
]
Order = Annotated[
    Literal["desc", "asc"],
    QueryParameter(title="Order", description="Newest first, or oldest first."),
]

EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
ID_BYTES, TIME_BYTES = 16, 7  # seven hold microseconds until the year 4253
ID_TIME_BYTES = 6  # of milliseconds, at the beginning of a UUID of version 7
LAST_MILLISECOND = (datetime.max.replace(tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)


class Place(NamedTuple):
    """A page of a list ended at this item: its time, by the database's clock, and its id.

    Lists are ordered by both. `at` is None in a cursor from before they were: it stands for the
    time of the item with that id, or, if there is none any more, for `made_at(id)`.
    """

    at: datetime | None
    id: UUID


def made_at(id: UUID) -> datetime:  # noqa: A002  # what it is
    """The time in a UUID of version 7, by the clock of the process that made it."""
    milliseconds = int.from_bytes(id.bytes[:ID_TIME_BYTES])
    return EPOCH + timedelta(milliseconds=min(milliseconds, LAST_MILLISECOND))


def cut(
    rows: Sequence[T], limit: int, key: Callable[[T], Place | UUID | int]
) -> tuple[Sequence[T], str | None]:
    """Split the `limit + 1` rows asked for into the page and the cursor of the page after it.

    There is no cursor when nothing follows. `key` gives what a row is found by again.
    """
    page = rows[:limit]
    return page, cursor_of(key(page[-1])) if len(rows) > limit else None


def cursor_of(key: Place | UUID | int) -> str:
    """Pack the last item's key: a page continues after it, whatever was added since."""
    return base64.urlsafe_b64encode(_packed(key)).decode().rstrip("=")


def place_after(cursor: str | None) -> Place | None:
    """Raises Invalid for a cursor that no list of this kind gave out."""
    if cursor is None:
        return None
    packed = _unpack(cursor, PLACE_CURSOR)
    time, id_bytes = packed[:-ID_BYTES], packed[-ID_BYTES:]
    at = EPOCH + timedelta(microseconds=int.from_bytes(time)) if time else None
    return Place(at, UUID(bytes=id_bytes))


def uuid_after(cursor: str | None) -> UUID | None:
    """Read the cursor of a list by id alone."""
    place = place_after(cursor)
    return None if place is None else place.id


def position_after(cursor: str | None) -> int | None:
    """Raises Invalid for a cursor that no list of positions gave out."""
    if cursor is None:
        return None
    return int(struct.unpack(">q", _unpack(cursor, POSITION_CURSOR))[0])


def _packed(key: Place | UUID | int) -> bytes:
    if isinstance(key, int):
        return struct.pack(">q", key)
    if isinstance(key, UUID):
        return key.bytes
    time = b"" if key.at is None else ((key.at - EPOCH) // MICROSECOND).to_bytes(TIME_BYTES)
    return time + key.id.bytes


def _unpack(cursor: str, form: re.Pattern[str]) -> bytes:
    # Python's `$` stands before a last line feed, too; the pattern is what the document shows.
    if not form.fullmatch(cursor):
        raise Invalid.field("after", NO_CURSOR)
    return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
