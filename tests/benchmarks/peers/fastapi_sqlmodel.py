"""FastAPI + SQLModel: synchronous psycopg, in the framework's thread pool."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import BigInteger, Column, DateTime, Engine, LargeBinary, Text, Uuid
from sqlmodel import Field, Session, SQLModel, create_engine, select
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


def engine(variable: str) -> Engine:
    url = os.environ[variable].replace("postgresql://", "postgresql+psycopg://", 1)
    size = int(os.environ["PEER_POOL_SIZE"])
    # pool_use_lifo and no ping, as the service under test has it.
    return create_engine(url, pool_size=size, max_overflow=0, pool_use_lifo=True)


def now() -> datetime:
    return datetime.now(UTC)


class User(SQLModel, table=True):
    __tablename__ = "users"

    id: UUID = Field(sa_type=Uuid, primary_key=True)
    tenant_id: UUID
    is_active: bool
    is_blocked: bool


class AccessToken(SQLModel, table=True):
    __tablename__ = "access_tokens"

    digest: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    user_id: UUID = Field(foreign_key="users.id")
    expires_at: datetime = Field(sa_type=DateTime(timezone=True))


class ChatSession(SQLModel, table=True):
    __tablename__ = "chat_sessions"

    tenant_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    user_id: UUID
    title: str
    pairs: str | None = Field(sa_column=Column("metadata", Text))
    external_id: str | None
    message_count: int
    last: int | None = Field(sa_column=Column("last_position", BigInteger))
    expires_at: datetime | None = Field(sa_type=DateTime(timezone=True))
    created_by: UUID | None
    forked_from_session: UUID | None
    forked_from_position: int | None
    created_at: datetime = Field(sa_type=DateTime(timezone=True))
    updated_at: datetime = Field(sa_type=DateTime(timezone=True))

    @property
    def last_position(self) -> int:
        return self.message_count if self.last is None else self.last

    @property
    def forked_from(self) -> dict[str, object] | None:
        source = {"session_id": self.forked_from_session, "position": self.forked_from_position}
        return source if self.forked_from_session else None


class Message(SQLModel, table=True):
    __tablename__ = "messages"

    tenant_id: UUID = Field(primary_key=True)
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    session_id: UUID
    position: int
    role: str
    content: str
    pairs: str | None = Field(default=None, sa_column=Column("metadata", Text))
    client_id: str | None = None
    status: str = "completed"
    created_by: UUID | None = None
    created_at: datetime = Field(default_factory=now, sa_type=DateTime(timezone=True))
    changed_at: datetime | None = Field(
        default=None, sa_column=Column("updated_at", DateTime(timezone=True))
    )

    @property
    def updated_at(self) -> datetime:
        return self.changed_at or self.created_at


app = FastAPI()
users, general = engine("USER_URL"), engine("GENERAL_URL")
bearer = HTTPBearer()


def user_session() -> Iterator[Session]:
    with Session(users) as session:
        yield session


def general_session() -> Iterator[Session]:
    # Without expiry, so that an answer made after COMMIT reads nothing again.
    with Session(general, expire_on_commit=False) as session:
        yield session


UserSession = Annotated[Session, Depends(user_session)]
GeneralSession = Annotated[Session, Depends(general_session)]


def current_user(
    session: UserSession, credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]
) -> User:
    digest = hashlib.sha256(credentials.credentials.encode()).digest()
    query = select(User).join(AccessToken).where(AccessToken.digest == digest)
    query = query.where(AccessToken.expires_at > now(), User.is_active, ~User.is_blocked)
    user = session.exec(query).first()
    if user is None:
        raise HTTPException(401)
    # Given back before the handler runs: it would stay open for the whole request.
    session.close()
    return user


CurrentUser = Annotated[User, Depends(current_user)]


def owned(session: Session, user: User, session_id: UUID, *, lock: bool = False) -> ChatSession:
    query = select(ChatSession).where(ChatSession.tenant_id == user.tenant_id)
    query = query.where(ChatSession.id == session_id, ChatSession.user_id == user.id)
    found = session.exec(query.with_for_update() if lock else query).first()
    if found is None:
        raise HTTPException(404)
    return found


@app.get("/v1/chat-sessions/{session_id}", response_model=ChatSessionRead)
def get_session(session_id: UUID, user: CurrentUser, session: GeneralSession) -> ChatSession:
    return owned(session, user, session_id)


@app.get("/v1/chat-sessions/{session_id}/messages", response_model=MessagePage)
def list_messages(
    session_id: UUID, user: CurrentUser, session: GeneralSession
) -> dict[str, object]:
    owned(session, user, session_id)
    query = select(Message).where(Message.tenant_id == user.tenant_id)
    query = query.where(Message.session_id == session_id).order_by(Message.position.desc())
    items = session.exec(query.limit(PAGE + 1)).all()
    more = str(items[PAGE - 1].position) if len(items) > PAGE else None
    return {"items": items[:PAGE], "next": more}


def append(
    session: Session, user: User, session_id: UUID, new: list[MessageCreate]
) -> list[Message]:
    chat = owned(session, user, session_id, lock=True)
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
    session.commit()
    return messages


@app.post("/v1/chat-sessions/{session_id}/messages", response_model=MessageRead, status_code=201)
def create_message(
    session_id: UUID, user: CurrentUser, session: GeneralSession, data: MessageCreate
) -> Message:
    return append(session, user, session_id, [data])[0]


@app.post(
    "/v1/chat-sessions/{session_id}/messages/batch", response_model=MessagesRead, status_code=201
)
def create_messages(
    session_id: UUID, user: CurrentUser, session: GeneralSession, data: MessagesCreate
) -> dict[str, list[Message]]:
    return {"items": append(session, user, session_id, data.messages)}


@app.get("/health/live")
async def live() -> dict[str, str]:
    return {"status": "alive"}
