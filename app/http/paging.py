"""Keyset pages: no totals, no OFFSET; a page's cost does not depend on how deep it lies."""

from __future__ import annotations

import base64
import hashlib
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
# A cursor is base64url: 7 bytes of microseconds and 16 of an id, or 8 of a position, and 4 of a
# digest of the list that it belongs to; where a list is ordered by two times, 7 bytes more. Those
# given out by earlier versions have no digest, and their oldest no time: whatever has their form
# is a place in any list.
PLACE_CURSOR = re.compile(
    r"^([A-Za-z0-9_-]{36}|[A-Za-z0-9_-]{26}[AEIMQUYcgkosw048]"
    r"|[A-Za-z0-9_-]{21}[AQgw]|[A-Za-z0-9_-]{30}[AEIMQUYcgkosw048])$"
)
RECENT_CURSOR = re.compile(r"^[A-Za-z0-9_-]{45}[AQgw]$")
POSITION_CURSOR = re.compile(r"^([A-Za-z0-9_-]{16}|[A-Za-z0-9_-]{10}[AEIMQUYcgkosw048])$")
NO_CURSOR = "Not a cursor of this list; take it from `next` as it is."
OTHER_LIST = "A cursor of another list, order or filter; take it from `next` of this very list."
FROM_BEFORE = "The `next` of the page before; opaque."
pattern(PLACE_CURSOR.pattern, NO_CURSOR)
pattern(POSITION_CURSOR.pattern, NO_CURSOR)
EITHER_CURSOR = pattern(f"{PLACE_CURSOR.pattern}|{RECENT_CURSOR.pattern}", NO_CURSOR)
After = Annotated[str | None, QueryParameter(description=FROM_BEFORE, pattern=PLACE_CURSOR.pattern)]
AfterPosition = Annotated[
    str | None, QueryParameter(description=FROM_BEFORE, pattern=POSITION_CURSOR.pattern)
]
AfterEither = Annotated[str | None, QueryParameter(description=FROM_BEFORE, pattern=EITHER_CURSOR)]
Order = Annotated[
    Literal["desc", "asc"],
    QueryParameter(title="Order", description="Newest first, or oldest first."),
]

EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
ID_BYTES, TIME_BYTES = 16, 7  # seven hold microseconds until the year 4253
POSITION_BYTES, LIST_BYTES = 8, 4
WITHOUT_LIST = (ID_BYTES, TIME_BYTES + ID_BYTES, POSITION_BYTES)
ID_TIME_BYTES = 6  # of milliseconds, at the beginning of a UUID of version 7
LAST_MILLISECOND = (datetime.max.replace(tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)


class Place(NamedTuple):
    """A page of a list ended at this item: its time, by the database's clock, and its id.

    Lists are ordered by both. `at` is None in a cursor from before they were: it stands for the
    time of the item with that id, or, if there is none any more, for `made_at(id)`.
    """

    at: datetime | None
    id: UUID


class RecentPlace(NamedTuple):
    """A page of what was changed last ended at this item, in the minute of its last change."""

    minute: datetime
    at: datetime
    id: UUID


def made_at(id: UUID) -> datetime:  # noqa: A002  # what it is
    """The time in a UUID of version 7, by the clock of the process that made it."""
    milliseconds = int.from_bytes(id.bytes[:ID_TIME_BYTES])
    return EPOCH + timedelta(milliseconds=min(milliseconds, LAST_MILLISECOND))


def cut(
    rows: Sequence[T], limit: int, key: Callable[[T], Place | RecentPlace], *of: object
) -> tuple[Sequence[T], str | None]:
    """Split the `limit + 1` rows asked for into the page and the cursor of the page after it.

    There is no cursor when nothing follows. `key` gives what a row is found by again; what else
    tells the list from others, its name first, is `of`.
    """
    page = rows[:limit]
    return page, cursor_of(key(page[-1]), *of) if len(rows) > limit else None


def cursor_of(key: Place | RecentPlace | int, *of: object) -> str:
    """Pack the last item's key: a page continues after it, whatever was added since."""
    packed = _packed(key) + (_digest(of) if of else b"")
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def place_after(cursor: str | None, *of: object) -> Place | None:
    """Raises Invalid for a cursor that this list did not give out."""
    if cursor is None:
        return None
    packed = _unpack(cursor, PLACE_CURSOR, of)
    time, id_bytes = packed[:-ID_BYTES], packed[-ID_BYTES:]
    return Place(_unpacked(time) if time else None, UUID(bytes=id_bytes))


def recent_after(cursor: str | None, *of: object) -> RecentPlace | None:
    """Raises Invalid for a cursor that this list of what was changed last did not give out."""
    if cursor is None:
        return None
    packed = _unpack(cursor, RECENT_CURSOR, of)
    minute, at, id_bytes = struct.unpack(f"{TIME_BYTES}s{TIME_BYTES}s{ID_BYTES}s", packed)
    return RecentPlace(_unpacked(minute), _unpacked(at), UUID(bytes=id_bytes))


def position_after(cursor: str | None, *of: object) -> int | None:
    """Raises Invalid for a cursor that this list of positions did not give out."""
    if cursor is None:
        return None
    return int(struct.unpack(">q", _unpack(cursor, POSITION_CURSOR, of))[0])


def _packed(key: Place | RecentPlace | int) -> bytes:
    if isinstance(key, int):
        return struct.pack(">q", key)
    *times, id_ = key
    return b"".join(_microseconds(one) for one in times if one is not None) + id_.bytes


def _microseconds(at: datetime) -> bytes:
    return ((at - EPOCH) // MICROSECOND).to_bytes(TIME_BYTES)


def _unpacked(time: bytes) -> datetime:
    return EPOCH + int.from_bytes(time) * MICROSECOND


def _digest(of: tuple[object, ...]) -> bytes:
    """No secret: it keeps a client from taking one list's cursor for another's by mistake."""
    return hashlib.sha256("\0".join(map(str, of)).encode()).digest()[:LIST_BYTES]


def _unpack(cursor: str, form: re.Pattern[str], of: tuple[object, ...]) -> bytes:
    # Python's `$` stands before a last line feed, too; the pattern is what the document shows.
    if not form.fullmatch(cursor):
        raise Invalid.field("after", NO_CURSOR)
    packed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    if len(packed) in WITHOUT_LIST:
        return packed
    if packed[-LIST_BYTES:] != _digest(of):
        raise Invalid.field("after", OTHER_LIST)
    return packed[:-LIST_BYTES]
