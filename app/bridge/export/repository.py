"""The pages of an export, as the general database gives them.

Each page is a short transaction of its own: no snapshot is held however slowly the reader reads,
and a reader who goes away leaves nothing behind.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select, text, tuple_

from app.bridge.export.lines import ChatSessionLine
from app.bridge.export.sealed_lines import sealed_lines
from app.chat.models import ChatSession
from app.chat.session_rows import COLUMNS, sessions_of
from app.chat.words import Seal
from app.databases.database import Database
from app.databases.sessions import GeneralSession
from app.databases.statement import Statement

SESSIONS = 1000
PAGE_BYTES = 4 << 20
MESSAGES = Statement(
    text("""
SELECT * FROM export_parts(:tenant_id, :user_id, :created_at, :session_id, :position, :bytes)
"""),
    reads=True,
)


class Place(NamedTuple):
    """Tells how far the messages have been read: the conversation, and the last position in it."""

    created_at: datetime
    session_id: UUID
    position: int


START = Place(datetime.min.replace(tzinfo=UTC), UUID(int=0), 0)


class ExportRepository:
    """Reads one user's conversations and messages, in pages."""

    def __init__(
        self,
        general: Database[GeneralSession],
        tenant_id: UUID,
        user_id: UUID,
        seal: Seal,
        page_bytes: int = PAGE_BYTES,
    ) -> None:
        self._general = general
        self._tenant_id = tenant_id
        self._user_id = user_id
        self._seal = seal
        self._page_bytes = page_bytes

    async def sessions(self, after: ChatSessionLine | None) -> list[ChatSessionLine]:
        """Return the next conversations by time and id; fewer than SESSIONS at the end."""
        table = ChatSession.__table__.c
        query = (
            select(*COLUMNS)
            .where(table.tenant_id == self._tenant_id, table.user_id == self._user_id)
            .order_by(table.created_at, table.id)
            .limit(SESSIONS)
        )
        if after is not None:
            place = tuple_(after.created_at, after.id)
            query = query.where(tuple_(table.created_at, table.id) > place)
        async with self._general.session(self._tenant_id) as session:
            rows = (await session.execute(query)).all()
        return [row.to(ChatSessionLine) for row in sessions_of(rows, self._seal)]

    async def messages(self, after: Place) -> tuple[list[bytes], Place | None]:
        """Return the next lines, and where they end; None at the end."""
        subject = {"tenant_id": self._tenant_id, "user_id": self._user_id}
        values = subject | after._asdict() | {"bytes": self._page_bytes}
        *parts, end = await self._general.fetch(MESSAGES, values)
        lines = [
            part["lines"] or sealed_lines(part, self._seal)
            for part in parts
            if part["lines"] or part["ids"]
        ]
        if end["session"] is None:
            return lines, None
        return lines, Place(end["session_time"], end["session"], end["last"])
