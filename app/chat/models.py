"""The general database: what was said. A person is an opaque id; the tenant leads every key."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    false,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.databases.bases import GeneralBase
from app.http.stored_answers import StoredAnswer

DEFAULT_TITLE = "New Conversation"
ROLES = ("user", "assistant", "system", "developer", "tool")
STATUSES = ("completed", "in_progress", "incomplete")


class Owner(GeneralBase):
    """A user who has sessions. The row is never removed: it is open, then closed, then erased.

    `chat_sessions` and `messages` count what was purged so far. While the owner is `held`, nothing
    they said is deleted or overwritten; `hold_rev` is the revision of the last hold or lift.
    `key_id` names the key that their words are sealed under.
    """

    __tablename__ = "owners"
    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "user_id"),
        CheckConstraint("state IN ('open', 'closed', 'erased')", name="state"),
        Index(
            "idx_owners_hold_rev",
            "tenant_id",
            "user_id",
            postgresql_where=text("hold_rev > 0"),
        ),
    )

    tenant_id: Mapped[UUID]
    user_id: Mapped[UUID]
    state: Mapped[str] = mapped_column(String(10), server_default=text("'open'"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    closed_at: Mapped[datetime | None]
    chat_sessions: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    messages: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    held: Mapped[bool] = mapped_column(server_default=false())
    hold_rev: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    key_id: Mapped[UUID | None]


class ChatSession(GeneralBase):
    """A conversation. Positions are never given twice: `last_position` is the last one given.

    It is NULL where nothing was ever deleted, and is then `message_count`. `version` is raised by
    every change. `changed_minute` is the minute of `updated_at`: an index on the time itself would
    be written with every append. Its index has every row, and serves who names its condition.
    `metadata` is JSON; `metadata_tags` are digests of its pairs. `sealed` is title and metadata,
    where they are sealed.
    """

    __tablename__ = "chat_sessions"
    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "id"),
        ForeignKeyConstraint(["tenant_id", "user_id"], ["owners.tenant_id", "owners.user_id"]),
        Index("idx_chat_sessions_user_id", "tenant_id", "user_id", "created_at", "id"),
        Index("idx_chat_sessions_user_id_id", "tenant_id", "user_id", "id"),
        Index(
            "idx_chat_sessions_changed_minute",
            "tenant_id",
            "user_id",
            "changed_minute",
            postgresql_where=text("changed_minute > '-infinity'"),
        ),
        Index(
            "idx_chat_sessions_tenant_minute",
            "tenant_id",
            "changed_minute",
            postgresql_where=text("changed_minute < 'infinity'"),
        ),
        Index(
            "idx_chat_sessions_expires_at",
            "tenant_id",
            "expires_at",
            postgresql_where=text("expires_at IS NOT NULL"),
        ),
        Index(
            "idx_chat_sessions_external_id",
            "tenant_id",
            "user_id",
            "external_id",
            unique=True,
            postgresql_where=text("external_id IS NOT NULL"),
        ),
    )

    tenant_id: Mapped[UUID]
    id: Mapped[UUID]
    user_id: Mapped[UUID]
    title: Mapped[str] = mapped_column(String(255), server_default=text(f"'{DEFAULT_TITLE}'"))
    message_count: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())
    last_position: Mapped[int | None] = mapped_column(BigInteger)
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    metadata_: Mapped[str | None] = mapped_column("metadata")
    metadata_tags: Mapped[list[bytes] | None] = mapped_column(ARRAY(LargeBinary))
    external_id: Mapped[str | None] = mapped_column(String(255))
    expires_at: Mapped[datetime | None]
    created_by: Mapped[UUID | None]
    forked_from_session: Mapped[UUID | None]
    forked_from_position: Mapped[int | None] = mapped_column(BigInteger)
    changed_minute: Mapped[datetime] = mapped_column(
        server_default=text("date_trunc('minute', now())")
    )
    sealed: Mapped[bytes | None]


class Message(GeneralBase):
    """A message. `content` is its text; `parts` is its content as JSON, where the text is not all.

    `item_id` is the id that a client of the conversations API gave it, `item_members` those members
    of the item that have no column, as JSON; where `is_item`, the one part is the item itself.
    `client_digest` is of the request that brought `client_id`. `updated_at` is NULL until the
    message is changed. `sealed` is all that is said, where it is sealed, and `sealed_size` what it
    adds to an answer.
    """

    __tablename__ = "messages"
    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "id"),
        ForeignKeyConstraint(
            ["tenant_id", "session_id"],
            ["chat_sessions.tenant_id", "chat_sessions.id"],
            ondelete="CASCADE",
        ),
        Index("idx_messages_session_id", "tenant_id", "session_id", "position", unique=True),
        *(
            Index(
                f"idx_messages_{one}",
                "tenant_id",
                "session_id",
                one,
                unique=True,
                postgresql_where=text(f"{one} IS NOT NULL"),
            )
            for one in ("client_id", "item_id")
        ),
        # PostgreSQL reads a check's parsed text at each INSERT: one constant is half of a list's.
        CheckConstraint(f"role = ANY ('{{{','.join(ROLES)}}}'::text[])", name="role"),
        CheckConstraint(f"status = ANY ('{{{','.join(STATUSES)}}}'::text[])", name="status"),
    )

    tenant_id: Mapped[UUID]
    id: Mapped[UUID]
    session_id: Mapped[UUID]
    position: Mapped[int] = mapped_column(BigInteger)
    role: Mapped[str] = mapped_column(String(20))
    content: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    parts: Mapped[str | None]
    metadata_: Mapped[str | None] = mapped_column("metadata")
    client_id: Mapped[str | None] = mapped_column(String(255))
    client_digest: Mapped[bytes | None]
    item_id: Mapped[str | None] = mapped_column(String(255))
    status: Mapped[str] = mapped_column(String(20), server_default=text("'completed'"))
    created_by: Mapped[UUID | None]
    updated_at: Mapped[datetime | None]
    item_members: Mapped[str | None]
    is_item: Mapped[bool] = mapped_column(server_default=text("false"))
    sealed: Mapped[bytes | None]
    sealed_size: Mapped[int | None]


class GeneralIdempotencyKey(StoredAnswer, GeneralBase):
    """A key that its owner sent; gone with the conversation whose messages its answer repeats.

    Those are the ones from `first_position` to `last_position`; any of them, where these are NULL.
    """

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
            "last_position",
            "first_position",
            postgresql_where=text("about_id IS NOT NULL"),
        ),
        Index("idx_general_idempotency_keys_expires_at", "expires_at"),
    )

    first_position: Mapped[int | None] = mapped_column(BigInteger)
    last_position: Mapped[int | None] = mapped_column(BigInteger)
    sealed: Mapped[bytes | None]
