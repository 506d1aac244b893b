"""Conversations: `chat_sessions` and what may be done with them.

Every statement names tenant and owner. Row level security would keep tenants apart without that,
but not one user from another; and past one machine the tenant in the statement is what routes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from sqlalchemy import select, text, tuple_, update
from uuid_utils.compat import uuid7

from app.chat import schemas
from app.chat.models import DEFAULT_TITLE, ChatSession
from app.chat.writes import Fetch, Writes
from app.databases.database import Database
from app.databases.records import StructsOf
from app.databases.sessions import GeneralSession
from app.databases.statement import Statement
from app.http.errors import NotFound, found
from app.http.idempotency import KeyedRequest
from app.http.paging import Place, made_at
from app.http.security import Principal

# One round trip each, with the tenant: functions in app/databases/sql/general.
FIND = Statement(
    text("SELECT * FROM chat_session_of(:tenant_id, :user_id, :session_id)"), reads=True
)
OPEN = Statement(
    text("SELECT * FROM open_chat_session(:tenant_id, :user_id, :session_id, :title, :not_after)")
)

sessions_of = StructsOf(schemas.ChatSession)


class ChatSessionRepository(SQLAlchemyAsyncRepository[ChatSession]):
    """The sessions of one owner, in a transaction."""

    model_type = ChatSession

    def __init__(self, session: GeneralSession, owner: Principal) -> None:
        super().__init__(session=session, wrap_exceptions=False)
        self._owner: dict[str, Any] = {"tenant_id": owner.tenant_id, "user_id": owner.user_id}

    async def page(self, *, rows: int, after: Place | None) -> Sequence[ChatSession]:
        """Newest first, by the database's clock."""
        order = tuple_(ChatSession.created_at, ChatSession.id)
        query = self.statement.order_by(*(one.desc() for one in order)).limit(rows)
        if after is not None:
            at = after.at or await self._created_at(after.id) or made_at(after.id)
            query = query.where(order < (at, after.id))
        return await self.get_many(statement=query, **self._owner)

    async def _created_at(self, session_id: UUID) -> datetime | None:
        query = select(ChatSession.created_at).filter_by(id=session_id, **self._owner)
        created_at: datetime | None = await self.session.scalar(query)
        return created_at

    async def rename(self, session_id: UUID, title: str) -> ChatSession | None:
        """One statement: `update` would read the row before it and after it."""
        query = update(ChatSession).filter_by(id=session_id, **self._owner).values(title=title)
        renamed: ChatSession | None = await self.session.scalar(query.returning(ChatSession))
        return renamed

    async def remove(self, session_id: UUID) -> bool:
        """Deletes the session and, by the foreign key, its messages."""
        return bool(await self.delete_where(id=session_id, **self._owner))


class ChatSessionService:
    """Opens, reads, renames and deletes a person's conversations. Raises NotFound for another's."""

    def __init__(self, general: Database[GeneralSession], writes: Writes) -> None:
        self._general = general
        self._writes = writes

    async def open(
        self, owner: Principal, title: str | None, request: KeyedRequest | None = None
    ) -> schemas.ChatSession | bytes:
        values = _key(owner, uuid7()) | {"title": title if title is not None else DEFAULT_TITLE}

        async def write(fetch: Fetch) -> schemas.ChatSession:
            return sessions_of(await fetch(OPEN, values))[0]

        return await self._writes.create(owner, request, write)

    async def page(
        self, owner: Principal, *, limit: int, after: Place | None
    ) -> Sequence[ChatSession]:
        """Newest first, one more than `limit` if there are more."""
        async with self._general.session(owner.tenant_id) as session:
            return await ChatSessionRepository(session, owner).page(rows=limit + 1, after=after)

    async def get(self, owner: Principal, session_id: UUID) -> schemas.ChatSession:
        sessions = sessions_of(await self._general.fetch(FIND, _key(owner, session_id)))
        if not sessions:
            raise NotFound
        return sessions[0]

    async def rename(self, owner: Principal, session_id: UUID, title: str) -> ChatSession:
        async def write(session: GeneralSession) -> ChatSession:
            return found(await ChatSessionRepository(session, owner).rename(session_id, title))

        return await self._writes.in_transaction(owner, write)

    async def delete(self, owner: Principal, session_id: UUID) -> None:
        async def write(session: GeneralSession) -> None:
            if not await ChatSessionRepository(session, owner).remove(session_id):
                raise NotFound

        await self._writes.in_transaction(owner, write)


def _key(owner: Principal, session_id: UUID) -> dict[str, Any]:
    return {"tenant_id": owner.tenant_id, "user_id": owner.user_id, "session_id": session_id}
