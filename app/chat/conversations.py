"""What may be done with conversations (but see hot.py). Every statement names tenant and owner.

Row level security would keep tenants apart without that, but not one user from another; and past
one machine the tenant in the statement is what routes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar
from uuid import UUID

from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from advanced_alchemy.service import SQLAlchemyAsyncRepositoryService
from litestar.di import NamedDependency
from sqlalchemy import ColumnElement, Row, delete, select, text, update
from uuid_utils.compat import uuid7

from app.chat.models import DEFAULT_TITLE, ChatSession
from app.databases.sessions import GeneralSession
from app.http.errors import NotFound, Unauthenticated
from app.http.security import Principal

T = TypeVar("T")

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


def _owned_by(owner: Principal) -> tuple[ColumnElement[bool], ...]:
    return (ChatSession.tenant_id == owner.tenant_id, ChatSession.user_id == owner.user_id)


def _found(value: T | None) -> T:
    if value is None:
        raise NotFound
    return value


def sessions(general_session: NamedDependency[GeneralSession]) -> ChatSessionService:
    """A plain function: a second generator dependency would lose errors of the commit."""
    return ChatSessionService(session=general_session)
