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
from msgspec import convert
from sqlalchemy import Row, select, text, tuple_, update
from uuid_utils.compat import uuid7

from app.chat import schemas
from app.chat.models import DEFAULT_TITLE, ChatSession
from app.databases.database import Database
from app.databases.direct import Statement
from app.databases.records import StructsOf
from app.databases.sessions import GeneralSession
from app.http.errors import NotFound, Unauthenticated
from app.http.idempotency import KeyedRequest, Once
from app.http.paging import Place, made_at
from app.http.security import Principal

# One round trip, tenant and statement together: what the busiest route asks.
FIND = Statement(text("SELECT * FROM chat_session_of(:tenant_id, :user_id, :session_id)"))

# Locks the owner in the statement that inserts: an erasure closes the owner, then waits for such
# locks. No row back means that the owner is closed, or was never seen here.
OPEN = text("""
WITH owner AS (
    SELECT tenant_id, user_id FROM owners
    WHERE tenant_id = :tenant_id AND user_id = :user_id AND state = 'open' FOR KEY SHARE
)
INSERT INTO chat_sessions (tenant_id, id, user_id, title)
SELECT owner.tenant_id, CAST(:id AS uuid), owner.user_id, CAST(:title AS varchar) FROM owner
RETURNING id, title, message_count, created_at, updated_at
""")

# On first use. A closed one stays closed.
MAKE_OWNER = text("""
INSERT INTO owners (tenant_id, user_id) VALUES (:tenant_id, :user_id) ON CONFLICT DO NOTHING
""")

sessions_of = StructsOf(schemas.ChatSession)


class ChatSessionRepository(SQLAlchemyAsyncRepository[ChatSession]):
    """The sessions of one owner, in a transaction."""

    model_type = ChatSession

    def __init__(self, session: GeneralSession, owner: Principal) -> None:
        super().__init__(session=session, wrap_exceptions=False)
        self._owner: dict[str, Any] = {"tenant_id": owner.tenant_id, "user_id": owner.user_id}

    async def open(self, session_id: UUID, title: str) -> Row[Any] | None:
        """None for an owner who is closed, or was never seen here."""
        values = self._owner | {"id": session_id, "title": title}
        return (await self.session.execute(OPEN, values)).one_or_none()

    async def make_owner(self) -> None:
        await self.session.execute(MAKE_OWNER, self._owner)

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

    def __init__(self, general: Database[GeneralSession], *, answers_kept_seconds: float) -> None:
        self._general = general
        self._kept_seconds = answers_kept_seconds

    async def open(
        self, owner: Principal, title: str | None, request: KeyedRequest | None = None
    ) -> schemas.ChatSession | bytes:
        """Raises Unauthenticated for a user who was deleted since the token was checked."""
        async with self._general.session(owner.tenant_id) as session:
            once = Once(session, owner, request, kept_seconds=self._kept_seconds)
            if stored := await once.stored():
                return stored
            chat_sessions = ChatSessionRepository(session, owner)
            opened = await _opened(chat_sessions, title if title is not None else DEFAULT_TITLE)
            return await once.keep(convert(opened, schemas.ChatSession, from_attributes=True))

    async def page(
        self, owner: Principal, *, limit: int, after: Place | None
    ) -> Sequence[ChatSession]:
        """Newest first, one more than `limit` if there are more."""
        async with self._general.session(owner.tenant_id) as session:
            return await ChatSessionRepository(session, owner).page(rows=limit + 1, after=after)

    async def get(self, owner: Principal, session_id: UUID) -> schemas.ChatSession:
        values = {"tenant_id": owner.tenant_id, "user_id": owner.user_id, "session_id": session_id}
        sessions = sessions_of(await self._general.fetch(FIND, values))
        if not sessions:
            raise NotFound
        return sessions[0]

    async def rename(self, owner: Principal, session_id: UUID, title: str) -> ChatSession:
        async with self._general.session(owner.tenant_id) as session:
            renamed = await ChatSessionRepository(session, owner).rename(session_id, title)
            if renamed is None:
                raise NotFound
            return renamed

    async def delete(self, owner: Principal, session_id: UUID) -> None:
        async with self._general.session(owner.tenant_id) as session:
            if not await ChatSessionRepository(session, owner).remove(session_id):
                raise NotFound


async def _opened(chat_sessions: ChatSessionRepository, title: str) -> Row[Any]:
    """One round trip, but for the first session ever."""
    session_id = uuid7()
    opened = await chat_sessions.open(session_id, title)
    if opened is None:
        await chat_sessions.make_owner()
        opened = await chat_sessions.open(session_id, title)
    if opened is None:
        raise Unauthenticated
    return opened
