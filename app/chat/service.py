"""What may be done with conversations. Every statement names tenant and owner.

Row level security would keep tenants apart without that, but not one user from another; and past
one machine the tenant in the statement is what routes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeVar
from uuid import UUID

from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from advanced_alchemy.service import SQLAlchemyAsyncRepositoryService
from litestar.di import NamedDependency
from sqlalchemy import ColumnElement, Row, delete, select, text, update
from uuid_utils.compat import uuid7

from app.chat.models import DEFAULT_TITLE, ChatSession, Message
from app.db import GeneralSession
from app.errors import NotFound, Unauthenticated
from app.security import Principal

T = TypeVar("T")
MessageRole = Literal["user", "assistant"]

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

# Raising the count takes the session's row lock, so concurrent writers queue here and positions
# come out gapless; a session that is not this user's yields no row and nothing is inserted.
APPEND = text("""
WITH session AS (
    UPDATE chat_sessions
    SET message_count = message_count + cardinality(CAST(:ids AS uuid[])), updated_at = now()
    WHERE tenant_id = :tenant_id AND id = :session_id AND user_id = :user_id
    RETURNING message_count - cardinality(CAST(:ids AS uuid[])) AS before
)
INSERT INTO messages (tenant_id, id, session_id, position, role, content)
SELECT :tenant_id, new.id, :session_id, session.before + new.ordinal, new.role, new.content
FROM session, unnest(CAST(:ids AS uuid[]), CAST(:roles AS text[]), CAST(:contents AS text[]))
    WITH ORDINALITY AS new (id, role, content, ordinal)
RETURNING id, session_id, position, role, content, created_at
""")


class ChatSessionRepository(SQLAlchemyAsyncRepository[ChatSession]):
    model_type = ChatSession


class ChatSessionService(SQLAlchemyAsyncRepositoryService[ChatSession, ChatSessionRepository]):
    """Sessions of one user. Raises NotFound for what is not there or not theirs."""

    repository_type = ChatSessionRepository

    async def open(self, owner: Principal, title: str | None) -> Row[Any]:
        """One round trip, but for the first session ever. Raises Unauthenticated for a user who
        was deleted since the token was checked.
        """
        values = {"tenant_id": owner.tenant_id, "user_id": owner.user_id}
        new = values | {"id": uuid7(), "title": title if title is not None else DEFAULT_TITLE}
        session = self.repository.session
        opened = (await session.execute(OPEN, new)).one_or_none()
        if opened is None:
            await session.execute(MAKE_OWNER, values)
            opened = (await session.execute(OPEN, new)).one_or_none()
        if opened is None:
            raise Unauthenticated
        return opened

    async def of_user(
        self, owner: Principal, *, limit: int, after: UUID | None
    ) -> Sequence[ChatSession]:
        """Newest first, one more than `limit` if there are more. Ids are in order of creation."""
        query = select(ChatSession).where(*_owned_by(owner)).order_by(ChatSession.id.desc())
        if after is not None:
            query = query.where(ChatSession.id < after)
        return (await self.repository.session.scalars(query.limit(limit + 1))).all()

    async def one(self, owner: Principal, session_id: UUID) -> ChatSession:
        query = select(ChatSession).where(*_owned_by(owner), ChatSession.id == session_id)
        return _found(await self.repository.session.scalar(query))

    async def rename(self, owner: Principal, session_id: UUID, title: str) -> ChatSession:
        query = (
            update(ChatSession)
            .where(*_owned_by(owner), ChatSession.id == session_id)
            .values(title=title)
            .returning(ChatSession)
        )
        return _found(await self.repository.session.scalar(query))

    async def close(self, owner: Principal, session_id: UUID) -> None:
        """Deletes the session and, by the foreign key, its messages."""
        query = (
            delete(ChatSession)
            .where(*_owned_by(owner), ChatSession.id == session_id)
            .returning(ChatSession.id)
        )
        _found(await self.repository.session.scalar(query))


class MessageRepository(SQLAlchemyAsyncRepository[Message]):
    model_type = Message


class MessageService(SQLAlchemyAsyncRepositoryService[Message, MessageRepository]):
    """Messages of one session. Raises NotFound when the session is not this user's."""

    repository_type = MessageRepository

    async def append(
        self, owner: Principal, session_id: UUID, messages: Sequence[tuple[MessageRole, str]]
    ) -> Sequence[Row[Any]]:
        """All or none, in the order given, at the session's next positions."""
        rows = await self.repository.session.execute(
            APPEND,
            {
                "tenant_id": owner.tenant_id,
                "user_id": owner.user_id,
                "session_id": session_id,
                "ids": [uuid7() for _ in messages],
                "roles": [role for role, _ in messages],
                "contents": [content for _, content in messages],
            },
        )
        return sorted(_found(rows.all() or None), key=lambda row: row.position)

    async def page(
        self,
        owner: Principal,
        session_id: UUID,
        *,
        limit: int,
        after: int | None,
        newest_first: bool,
    ) -> Sequence[Message]:
        """One more than `limit` if there are more."""
        await ChatSessionService(session=self.repository.session).one(owner, session_id)
        key = Message.position
        query = select(Message).where(
            Message.tenant_id == owner.tenant_id, Message.session_id == session_id
        )
        if after is not None:
            query = query.where(key < after if newest_first else key > after)
        query = query.order_by(key.desc() if newest_first else key).limit(limit + 1)
        return (await self.repository.session.scalars(query)).all()


def _owned_by(owner: Principal) -> tuple[ColumnElement[bool], ...]:
    return (ChatSession.tenant_id == owner.tenant_id, ChatSession.user_id == owner.user_id)


def _found(value: T | None) -> T:
    if value is None:
        raise NotFound
    return value


def sessions(general_session: NamedDependency[GeneralSession]) -> ChatSessionService:
    """A plain function: a second generator dependency would lose errors of the commit."""
    return ChatSessionService(session=general_session)


def messages(general_session: NamedDependency[GeneralSession]) -> MessageService:
    return MessageService(session=general_session)
