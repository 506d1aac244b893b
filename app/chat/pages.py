"""Pages of a conversation's messages, each read in one round trip with the conversation's state.

The statements call the functions in app/databases/sql/general, which set the tenant themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text

from app.chat.rows import CONTENT, PARTS, SEALED, messages_of
from app.chat.schemas import Message
from app.chat.words import reading
from app.databases.database import Database
from app.databases.sealing.sealing import Sealing
from app.databases.sessions import GeneralSession
from app.databases.statement import Statement
from app.http.errors import NotFound
from app.http.exchange import etag
from app.http.security import Principal

PAGE_BYTES = 4 << 20  # of an answer, at most; but a page has at least one message
PAGE = Statement(
    text(
        "SELECT * FROM list_messages"
        "(:tenant_id, :user_id, :session_id, :newest, :after, :rows, :bytes)"
    ),
    reads=True,
)
PAGE_BY_BYTES = Statement(
    text(
        "SELECT * FROM list_messages_by_bytes"
        "(:tenant_id, :user_id, :session_id, :newest, :after, :rows, :bytes)"
    ),
    reads=True,
)


class Page(NamedTuple):
    """A page of a conversation's messages; `is_more` tells that others follow."""

    messages: list[Message]
    is_more: bool
    etag: str


class PageService:
    """Pages through a person's conversation. Raises NotFound for another's."""

    def __init__(self, general: Database[GeneralSession], sealing: Sealing) -> None:
        self._general = general
        self._sealing = sealing

    async def page(
        self,
        owner: Principal,
        session_id: UUID,
        *,
        limit: int,
        after: int | None,
        newest_first: bool,
    ) -> Page:
        """Fetch messages by position: a page ends at `limit`, or before it has too many bytes."""
        rows = await self._rows(
            owner.whose
            | {
                "session_id": session_id,
                "newest": newest_first,
                "after": after,
                "rows": limit + 1,
                "bytes": PAGE_BYTES,
            }
        )
        if not rows:
            raise NotFound
        session, *messages = rows
        is_more = len(messages) > limit or (bool(messages) and _is_left_out(messages[-1]))
        tag = etag(session["version"], session["updated_at"])
        shown = messages[:-1] if is_more else messages
        seal = reading(self._sealing, owner)
        return Page(messages_of(shown, session_id, seal), is_more, tag)

    async def _rows(self, wanted: Mapping[str, Any]) -> Sequence[Any]:
        rows = await self._general.fetch(PAGE, wanted)
        if any(map(_is_left_out, rows[1:])):
            return await self._general.fetch(PAGE_BY_BYTES, wanted)
        return rows


def _is_left_out(row: Any) -> bool:
    return row[CONTENT] is None and row[PARTS] is None and row[SEALED] is None
