"""Messages: appended to a conversation and paged, each in one round trip.

The statements call the functions in app/databases/sql/general, which set the tenant themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import text
from uuid_utils.compat import uuid7

from app.chat.schemas import Message, Messages, NewMessage
from app.chat.writes import Fetch, Writes
from app.databases.database import Database
from app.databases.records import StructsOf
from app.databases.sessions import GeneralSession
from app.databases.statement import Statement
from app.http.errors import NotFound, found
from app.http.idempotency import KeyedRequest
from app.http.security import Principal

T = TypeVar("T")

PAGE_BYTES = 4 << 20  # of an answer, at most; but a page has at least one message
PAGE = Statement(
    text(
        "SELECT * FROM small_message_page"
        "(:tenant_id, :user_id, :session_id, :newest, :after, :rows, :bytes)"
    ),
    reads=True,
)
PAGE_BY_BYTES = Statement(
    text(
        "SELECT * FROM message_page_by_bytes"
        "(:tenant_id, :user_id, :session_id, :newest, :after, :rows, :bytes)"
    ),
    reads=True,
)
ADD_ONE = Statement(
    text(
        "SELECT * FROM add_message"
        "(:tenant_id, :user_id, :session_id, :id, :role, :content, :not_after)"
    )
)
ADD_MANY = Statement(
    text(
        "SELECT * FROM add_messages"
        "(:tenant_id, :user_id, :session_id, :ids, :roles, :contents, :not_after)"
    )
)

messages_of = StructsOf(Message)


class Page(NamedTuple):
    """A page of a conversation's messages; `is_more` tells that others follow."""

    messages: list[Message]
    is_more: bool


class MessageRepository:
    """The messages of one owner's conversation. None: it is not there, or not the owner's."""

    def __init__(self, fetch: Fetch, owner: Principal, session_id: UUID) -> None:
        self._fetch = fetch
        self._session_id = session_id
        self._place: dict[str, Any] = {
            "tenant_id": owner.tenant_id,
            "user_id": owner.user_id,
            "session_id": session_id,
        }

    async def page(self, *, limit: int, after: int | None, newest_first: bool) -> Page | None:
        """Fetch at most `limit` messages, in JSON of at most PAGE_BYTES."""
        rows = await self._rows(
            {"newest": newest_first, "after": after, "rows": limit + 1, "bytes": PAGE_BYTES}
        )
        if not rows:
            return None
        if rows[0]["id"] is None:  # an empty session's own row
            return Page([], is_more=False)
        is_more = len(rows) > limit or rows[-1]["content"] is None
        return Page(messages_of(rows[:-1] if is_more else rows), is_more)

    async def _rows(self, wanted: dict[str, Any]) -> Sequence[Any]:
        rows = await self._fetch(PAGE, self._place | wanted)
        if any(row["content"] is None for row in rows) and rows[0]["id"] is not None:
            return await self._fetch(PAGE_BY_BYTES, self._place | wanted)
        return rows

    async def append(
        self, ids: Sequence[UUID], messages: Sequence[NewMessage]
    ) -> list[Message] | None:
        """All or none, in the order given, at the session's next positions."""
        appended = await (
            self._append_one(ids[0], messages[0])
            if len(messages) == 1
            else self._append(ids, messages)
        )
        if not appended:
            return None
        first, created_at = appended[0]
        return self._stored(first, created_at, ids, messages)

    async def _append_one(self, new_id: UUID, message: NewMessage) -> Sequence[Any]:
        values = self._place | {"id": new_id, "role": message.role, "content": message.content}
        return await self._fetch(ADD_ONE, values)

    async def _append(self, ids: Sequence[UUID], messages: Sequence[NewMessage]) -> Sequence[Any]:
        roles = [message.role for message in messages]
        contents = [message.content for message in messages]
        values = self._place | {"ids": ids, "roles": roles, "contents": contents}
        return await self._fetch(ADD_MANY, values)

    def _stored(
        self, first: int, at: datetime, ids: Sequence[UUID], messages: Sequence[NewMessage]
    ) -> list[Message]:
        return [
            Message(ids[i], self._session_id, first + i, message.role, message.content, at)
            for i, message in enumerate(messages)
        ]


class MessageService:
    """Appends to and pages through a person's conversation. Raises NotFound for another's."""

    def __init__(self, general: Database[GeneralSession], writes: Writes) -> None:
        self._general = general
        self._writes = writes

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
        messages = MessageRepository(self._general.fetch, owner, session_id)
        return found(await messages.page(limit=limit, after=after, newest_first=newest_first))

    async def append(
        self,
        owner: Principal,
        session_id: UUID,
        message: NewMessage,
        request: KeyedRequest | None = None,
    ) -> Message | bytes:
        return await self._append(owner, session_id, [message], request, _only)

    async def append_all(
        self,
        owner: Principal,
        session_id: UUID,
        messages: Sequence[NewMessage],
        request: KeyedRequest | None = None,
    ) -> Messages | bytes:
        return await self._append(owner, session_id, messages, request, Messages)

    async def _append(
        self,
        owner: Principal,
        session_id: UUID,
        messages: Sequence[NewMessage],
        request: KeyedRequest | None,
        answer: Callable[[list[Message]], T],
    ) -> T | bytes:
        ids = [uuid7() for _ in messages]

        async def write(fetch: Fetch) -> T:
            repository = MessageRepository(fetch, owner, session_id)
            appended = await repository.append(ids, messages)
            if appended is None:
                raise NotFound
            return answer(appended)

        return await self._writes.append(owner, session_id, request, write)


def _only(messages: list[Message]) -> Message:
    return messages[0]
