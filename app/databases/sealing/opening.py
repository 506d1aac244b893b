"""Seals and opens bytes at their place. What cannot be opened is counted and logged, by its ids."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

from app.databases.sealing.master_keys import KeyUnavailableError
from app.databases.sealing.person_keys import PersonKey, UnreadableError, place
from app.telemetry import log
from app.telemetry.metrics import UNREADABLE

NO_ROW = UUID(int=0)


class Place(NamedTuple):
    """Names where something is sealed: a table, and a field of a row that belongs to a session."""

    table: str
    tenant_id: UUID
    session_id: UUID
    row_id: UUID
    field: str = "words"


def seal_at(key: PersonKey, text: bytes, where: Place) -> bytes:
    return key.seal(text, place(*where))


def open_at(key: PersonKey | None, sealed: bytes, where: Place) -> bytes | None:
    """Return what was sealed at this place; None if these bytes were not.

    Raises KeyUnavailableError without the key: what cannot be read here is never shown as empty.
    """
    return _opened(key, sealed, place(*where), where)


class RowsOf:
    """Opens rows of one table and session, whose places differ by the row's id alone.

    A page has fifty of them: that they share what comes before the id saves a third of the time.
    """

    __slots__ = ("_common", "_names", "session_id")

    def __init__(self, table: str, tenant_id: UUID, session_id: UUID) -> None:
        self.session_id = session_id
        self._names = (table, tenant_id, session_id)
        self._common = place(*Place(*self._names, NO_ROW))[: -len(NO_ROW.bytes)]

    def open(self, key: PersonKey | None, sealed: bytes, row_id: UUID) -> bytes | None:
        """Return what was sealed in this row, as `open_at` does."""
        return _opened(key, sealed, self._common + row_id.bytes, (*self._names, row_id))


def _opened(
    key: PersonKey | None, sealed: bytes, associated: bytes, where: tuple[Any, ...]
) -> bytes | None:
    if key is None:
        raise KeyUnavailableError
    try:
        return key.open(sealed, associated)
    except UnreadableError:
        table, tenant_id, session_id, row_id, *_ = where
        UNREADABLE.labels(table).inc()
        log.error(
            "unreadable",
            table=table,
            tenant_id=str(tenant_id),
            session_id=str(session_id),
            row_id=str(row_id),
            key_id=str(key.id),
        )
        return None
