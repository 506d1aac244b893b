"""The general database: what was said. A person is an opaque id; the tenant leads every key."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    String,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.databases.bases import GeneralBase
from app.http.stored_answers import StoredAnswer

DEFAULT_TITLE = "New Conversation"


class Owner(GeneralBase):
    """Whom sessions belong to; only ever moves on, and is never removed: open, closed, erased.

    `chat_sessions` and `messages` count what was purged so far.
    """

    __tablename__ = "owners"
    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "user_id"),
        CheckConstraint("state IN ('open', 'closed', 'erased')", name="state"),
    )

    tenant_id: Mapped[UUID]
    user_id: Mapped[UUID]
    state: Mapped[str] = mapped_column(String(10), server_default=text("'open'"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    closed_at: Mapped[datetime | None]
    chat_sessions: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    messages: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))


class ChatSession(GeneralBase):
    __tablename__ = "chat_sessions"
    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "id"),
        ForeignKeyConstraint(["tenant_id", "user_id"], ["owners.tenant_id", "owners.user_id"]),
        Index("idx_chat_sessions_user_id", "tenant_id", "user_id", "created_at", "id"),
        Index("idx_chat_sessions_user_id_id", "tenant_id", "user_id", "id"),
    )

    tenant_id: Mapped[UUID]
    id: Mapped[UUID]
    user_id: Mapped[UUID]
    title: Mapped[str] = mapped_column(String(255), server_default=text(f"'{DEFAULT_TITLE}'"))
    message_count: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class Message(GeneralBase):
    __tablename__ = "messages"
    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "id"),
        ForeignKeyConstraint(
            ["tenant_id", "session_id"],
            ["chat_sessions.tenant_id", "chat_sessions.id"],
            ondelete="CASCADE",
        ),
        Index("idx_messages_session_id", "tenant_id", "session_id", "position", unique=True),
        CheckConstraint("role IN ('user', 'assistant')", name="role"),
    )

    tenant_id: Mapped[UUID]
    id: Mapped[UUID]
    session_id: Mapped[UUID]
    position: Mapped[int] = mapped_column(BigInteger)
    role: Mapped[str] = mapped_column(String(20))
    content: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ErasureReceipt(GeneralBase):
    """That an owner's conversations are gone. Written by append_receipt alone, never changed."""

    __tablename__ = "erasure_receipts"
    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "user_id"),
        CheckConstraint("remaining = 0", name="remaining"),
        Index("idx_erasure_receipts_seq", "seq"),
    )

    tenant_id: Mapped[UUID]
    user_id: Mapped[UUID]
    seq: Mapped[int] = mapped_column(BigInteger)
    chat_sessions: Mapped[int] = mapped_column(BigInteger)
    messages: Mapped[int] = mapped_column(BigInteger)
    remaining: Mapped[int] = mapped_column(BigInteger)
    finished_at: Mapped[datetime]
    prev_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class GeneralIdempotencyKey(StoredAnswer, GeneralBase):
    """A key that its owner sent; gone with the conversation whose messages its answer repeats."""

    __tablename__ = "general_idempotency_keys"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "user_id"], ["owners.tenant_id", "owners.user_id"]),
        ForeignKeyConstraint(
            ["tenant_id", "about_id"],
            ["chat_sessions.tenant_id", "chat_sessions.id"],
            ondelete="CASCADE",
        ),
        Index(
            "idx_general_idempotency_keys_about_id",
            "tenant_id",
            "about_id",
            postgresql_where=text("about_id IS NOT NULL"),
        ),
        Index("idx_general_idempotency_keys_expires_at", "expires_at"),
    )
