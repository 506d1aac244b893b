"""Seals and opens bytes at their place. What cannot be opened is counted and logged, by its ids."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from app.databases.sealing.master_keys import KeyUnavailableError
from app.databases.sealing.person_keys import PersonKey, UnreadableError, place
from app.telemetry import log
from app.telemetry.metrics import UNREADABLE


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
    if key is None:
        raise KeyUnavailableError
    try:
        return key.open(sealed, place(*where))
    except UnreadableError:
        UNREADABLE.labels(where.table).inc()
        log.error(
            "unreadable",
            table=where.table,
            tenant_id=str(where.tenant_id),
            session_id=str(where.session_id),
            row_id=str(where.row_id),
            key_id=str(key.id),
        )
        return None
