"""The pages of an export, as the general database gives them.

Each page is a short transaction of its own: no snapshot is held however slowly the reader reads,
and a reader who goes away leaves nothing behind.
"""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import select, text

from app.bridge.export.lines import ChatSessionLine
from app.chat.models import ChatSession
from app.databases.database import Database
from app.databases.direct import Statement
from app.databases.sessions import GeneralSession

PAGE = 1000
MESSAGES = Statement(
    text("SELECT * FROM export_messages(:tenant_id, :user_id, :session_id, :last, :rows)")
)


class Place(NamedTuple):
    """How far the messages have been read: the conversation, and the last position in it."""

    session_id: UUID
    position: int


START = Place(UUID(int=0), 0)


class ExportRepository:
    """Reads one user's conversations and messages, in pages."""

    def __init__(self, general: Database[GeneralSession], tenant_id: UUID, user_id: UUID) -> None:
        self._general = general
        self._tenant_id = tenant_id
        self._user_id = user_id

    async def sessions(self, after: UUID | None) -> list[ChatSessionLine]:
        """Return the next conversations by id; fewer than PAGE at the end."""
        table = ChatSession.__table__.c
        query = (
            select(table.id, table.title, table.message_count, table.created_at, table.updated_at)
            .where(table.tenant_id == self._tenant_id, table.user_id == self._user_id)
            .order_by(table.id)
            .limit(PAGE)
        )
        if after is not None:
            query = query.where(table.id > after)
        async with self._general.session(self._tenant_id) as session:
            rows = (await session.execute(query)).all()
        return msgspec.convert(rows, list[ChatSessionLine], from_attributes=True)

    async def messages(self, after: Place) -> tuple[bytes, Place | None]:
        """Return the next lines, as PostgreSQL wrote them, and where they end; None at the end."""
        values = {
            "tenant_id": self._tenant_id,
            "user_id": self._user_id,
            "session_id": after.session_id,
            "last": after.position,
            "rows": PAGE,
        }
        (row,) = await self._general.fetch(MESSAGES, values)
        session_id: UUID | None = row["session"]
        return row["lines"], None if session_id is None else Place(session_id, row["last"])
