"""The rows of sessions: what is read of them, wherever that is, and how they are listed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from msgspec import UNSET, Struct
from msgspec.structs import replace

from app.chat import metadata, schemas
from app.chat.etags import etag
from app.chat.models import ChatSession
from app.chat.words import Seal
from app.databases.records import StructsOf
from app.http.paging import Place, RecentPlace

C = TypeVar("C", bound=schemas.ChatSession)


class SessionRow(Struct, frozen=True):
    """The columns that are read of a session, wherever it is read."""

    id: UUID
    title: str | None  # None: title and metadata cannot be read
    message_count: int
    last_position: int | None
    version: int
    metadata: str | None
    external_id: str | None
    expires_at: datetime | None
    created_by: UUID | None
    forked_from_session: UUID | None
    forked_from_position: int
    created_at: datetime
    updated_at: datetime
    changed_minute: datetime
    sealed: bytes | None

    @property
    def etag(self) -> str:
        return etag(self.version, self.updated_at)

    def to(self, shape: type[C]) -> C:
        """Show it to a client."""
        last, source = self.last_position, self.forked_from_session
        return shape(
            id=self.id,
            title=self.title,
            metadata=None if self.title is None else metadata.shown(self.metadata),
            external_id=self.external_id,
            message_count=self.message_count,
            last_position=self.message_count if last is None else last,
            expires_at=self.expires_at,
            created_by=self.created_by,
            forked_from=source and schemas.ForkedFrom(source, self.forked_from_position),
            created_at=self.created_at,
            updated_at=self.updated_at,
            unreadable=True if self.title is None else UNSET,
        )


unopened = StructsOf(SessionRow)
COLUMNS = [ChatSession.__table__.c[name] for name in SessionRow.__struct_fields__]


def sessions_of(rows: Sequence[Any], seal: Seal) -> list[SessionRow]:
    """Read the rows of a statement, and what is sealed of them."""
    return [row if row.sealed is None else _opened(row, seal) for row in unopened(rows)]


def _opened(row: SessionRow, seal: Seal) -> SessionRow:
    title, text = seal.titled_of(row) or (None, None)
    return replace(row, title=title, metadata=text)


class Listing(NamedTuple):
    """A list of sessions: those that it has, and their order, by creation or by last change."""

    is_recent: bool = False
    external_id: str | None = None
    pair: tuple[str, str] | None = None  # of the metadata

    def place_of(self, row: SessionRow) -> Place | RecentPlace:
        if self.is_recent:
            return RecentPlace(row.changed_minute, row.updated_at, row.id)
        return Place(row.created_at, row.id)

    def has(self, row: SessionRow) -> bool:
        """Compare the pair itself. The row was found by the pair's tag, which others may have."""
        if self.pair is None:
            return True
        if row.title is None:
            return False
        key, value = self.pair
        return metadata.shown(row.metadata).get(key) == value
