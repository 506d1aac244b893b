"""FastAPI + SQLAlchemy's asynchronous ORM on asyncpg."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import DateTime, ForeignKey, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from uuid_utils.compat import uuid7

from tests.benchmarks.peers.fastapi_models import (
    ChatSessionRead,
    MessageCreate,
    MessagePage,
    MessageRead,
    MessagesCreate,
    MessagesRead,
)

PAGE = 50


def engine(variable: str) -> AsyncEngine:
    url = os.environ[variable].replace("postgresql://", "postgresql+asyncpg://", 1)
    size = int(os.environ["PEER_POOL_SIZE"])
    # pool_use_lifo and no ping, as the service under test has it.
    return create_async_engine(url, pool_size=size, max_overflow=0, pool_use_lifo=True)


def now() -> datetime:
    return datetime.now(UTC)


class Base(DeclarativeBase):
    type_annotation_map = {datetime: DateTime(timezone=True)}


class User(Base):
    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    is_active: Mapped[bool]
    is_blocked: Mapped[bool]


class AccessToken(Base):
    __tablename__ = "access_tokens"

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    expires_at: Mapped[datetime]


class ChatSession(Base):
    __tablename__ = "chat_sessions"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    title: Mapped[str]
    pairs: Mapped[str | None] = mapped_column("metadata")
    external_id: Mapped[str | None]
    message_count: Mapped[int]
    last: Mapped[int | None] = mapped_column("last_position")
    expires_at: Mapped[datetime | None]
    created_by: Mapped[UUID | None]
    forked_from_session: Mapped[UUID | None]
    forked_from_position: Mapped[int | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    @property
    def last_position(self) -> int:
        return self.message_count if self.last is None else self.last

    @property
    def forked_from(self) -> dict[str, object] | None:
        source = {"session_id": self.forked_from_session, "position": self.forked_from_position}
        return source if self.forked_from_session else None


class Message(Base):
    __tablename__ = "messages"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    session_id: Mapped[UUID]
    position: Mapped[int]
    role: Mapped[str]
    content: Mapped[str]
    pairs: Mapped[str | None] = mapped_column("metadata")
    client_id: Mapped[str | None]
    status: Mapped[str] = mapped_column(default="completed")
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    changed_at: Mapped[datetime | None] = mapped_column("updated_at")

    @property
    def updated_at(self) -> datetime:
        return self.changed_at or self.created_at


app = FastAPI()
users, general = engine("USER_URL"), engine("GENERAL_URL")
bearer = HTTPBearer()


async def general_session() -> AsyncIterator[AsyncSession]:
    # Without expiry, so that an answer made after COMMIT reads nothing again.
    async with AsyncSession(general, expire_on_commit=False) as session:
        yield session


GeneralSession = Annotated[AsyncSession, Depends(general_session)]


async def current_user(
    credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)],
) -> User:
    digest = hashlib.sha256(credentials.credentials.encode()).digest()
    query = select(User).join(AccessToken).where(AccessToken.digest == digest)
    query = query.where(AccessToken.expires_at > now(), User.is_active, ~User.is_blocked)
    # Not a dependency: it would hold the connection for the whole request.
    async with AsyncSession(users, expire_on_commit=False) as session:
        user = await session.scalar(query)
    if user is None:
        raise HTTPException(401)
    return user


CurrentUser = Annotated[User, Depends(current_user)]


async def owned(
    session: AsyncSession, user: User, session_id: UUID, *, lock: bool = False
) -> ChatSession:
    query = select(ChatSession).where(ChatSession.tenant_id == user.tenant_id)
    query = query.where(ChatSession.id == session_id, ChatSession.user_id == user.id)
    found = await session.scalar(query.with_for_update() if lock else query)
    if found is None:
        raise HTTPException(404)
    return found


@app.get("/v1/chat-sessions/{session_id}", response_model=ChatSessionRead)
async def get_session(session_id: UUID, user: CurrentUser, session: GeneralSession) -> ChatSession:
    return await owned(session, user, session_id)


@app.get("/v1/chat-sessions/{session_id}/messages", response_model=MessagePage)
async def list_messages(
    session_id: UUID, user: CurrentUser, session: GeneralSession
) -> dict[str, object]:
    await owned(session, user, session_id)
    query = select(Message).where(Message.tenant_id == user.tenant_id)
    query = query.where(Message.session_id == session_id).order_by(Message.position.desc())
    items = (await session.scalars(query.limit(PAGE + 1))).all()
    more = str(items[PAGE - 1].position) if len(items) > PAGE else None
    return {"items": items[:PAGE], "next": more}


async def append(
    session: AsyncSession, user: User, session_id: UUID, new: list[MessageCreate]
) -> list[Message]:
    chat = await owned(session, user, session_id, lock=True)
    messages = [
        Message(
            tenant_id=user.tenant_id,
            session_id=session_id,
            position=chat.message_count + number,
            role=one.role,
            content=one.content,
        )
        for number, one in enumerate(new, 1)
    ]
    chat.message_count += len(new)
    chat.updated_at = now()
    session.add_all(messages)
    await session.commit()
    return messages


@app.post("/v1/chat-sessions/{session_id}/messages", response_model=MessageRead, status_code=201)
async def create_message(
    session_id: UUID, user: CurrentUser, session: GeneralSession, data: MessageCreate
) -> Message:
    return (await append(session, user, session_id, [data]))[0]


@app.post(
    "/v1/chat-sessions/{session_id}/messages/batch", response_model=MessagesRead, status_code=201
)
async def create_messages(
    session_id: UUID, user: CurrentUser, session: GeneralSession, data: MessagesCreate
) -> dict[str, list[Message]]:
    return {"items": await append(session, user, session_id, data.messages)}


@app.get("/health/live")
async def live() -> dict[str, str]:
    return {"status": "alive"}
