"""The user database: who a person is. Nothing here says what they said."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.databases.bases import UserBase
from app.http.stored_answers import StoredAnswer


class Timestamps:
    # An UPDATE returns the time it sets; else reading it would be another round trip.
    __mapper_args__ = {"eager_defaults": True}

    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), sort_order=90)
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.now(), onupdate=func.now(), sort_order=91
    )


class Tenant(Timestamps, UserBase):
    __tablename__ = "tenants"
    __table_args__ = (
        Index("idx_tenants_name", "name", unique=True),
        Index("idx_tenants_created_at", "created_at", "id"),
        CheckConstraint("retention_days BETWEEN 1 AND 36500", name="retention_days"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(63))
    retention_days: Mapped[int | None] = mapped_column(Integer)


class User(Timestamps, UserBase):
    __tablename__ = "users"
    __table_args__ = (
        Index("idx_users_username", "username_key", unique=True),
        Index("idx_users_email", "tenant_id", "email_key", unique=True),
        Index("idx_users_tenant_id", "tenant_id", "created_at", "id"),
        Index("idx_users_tenant_id_id", "tenant_id", "id", unique=True),  # foreign keys need it
        Index("idx_users_created_at", "created_at", "id"),
        Index("idx_users_is_blocked", "is_blocked", postgresql_where=text("is_blocked")),
        Index(
            "idx_users_external_id",
            "tenant_id",
            "external_id",
            unique=True,
            postgresql_where=text("external_id IS NOT NULL"),
        ),
        CheckConstraint(r"username ~ '^\\[^\\]+\\[^\\]+$'", name="username"),
        CheckConstraint(
            "jsonb_typeof(roles) = 'array'"
            """ AND roles <@ '["member", "tenant_admin", "admin"]'::jsonb""",
            name="roles",
        ),
        CheckConstraint(
            "external_id ~ '^[!-~]+$' AND external_id NOT IN ('.', '..')", name="external_id"
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"))
    username: Mapped[str] = mapped_column(String(255))
    email: Mapped[str | None] = mapped_column(String(255))
    # A trigger fills these. Names and addresses compare by them, and keep the spelling they have.
    username_key: Mapped[str | None] = mapped_column(Text, deferred=True)
    email_key: Mapped[str | None] = mapped_column(Text, deferred=True)
    password_hash: Mapped[str | None] = mapped_column(String(255))
    roles: Mapped[list[str]] = mapped_column(JSONB, server_default=text("'[\"member\"]'::jsonb"))
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    is_blocked: Mapped[bool] = mapped_column(server_default=text("false"))
    # An administrator chose the password, not the user.
    must_change_password: Mapped[bool] = mapped_column(server_default=text("false"))
    external_id: Mapped[str | None] = mapped_column(String(255, collation="C"))


def of_a_user(table: str) -> ForeignKeyConstraint:
    """Bind a row to a user of its own tenant: row level security looks at the tenant alone."""
    return ForeignKeyConstraint(
        ["tenant_id", "user_id"],
        ["users.tenant_id", "users.id"],
        name=f"fk_{table}_user_id_users",
        ondelete="CASCADE",
    )


class UserBlock(UserBase):
    """Why and by whom a user is blocked; gone when unblocked, and with the user."""

    __tablename__ = "user_blocks"
    __table_args__ = (of_a_user("user_blocks"),)

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    reason: Mapped[str | None] = mapped_column(String(1000))
    blocked_by: Mapped[UUID | None]
    blocked_at: Mapped[datetime] = mapped_column(server_default=func.now())


class LoginFailure(UserBase):
    """A failed login by digests of account and address; the user is there if the name is one's."""

    __tablename__ = "login_failures"
    __table_args__ = (
        of_a_user("login_failures"),
        Index("idx_login_failures_account_at", "account", "at"),
        Index("idx_login_failures_address_at", "address", "at"),
        Index("idx_login_failures_at", "at"),
        Index("idx_login_failures_tenant_id_user_id", "tenant_id", "user_id"),
    )

    account: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    address: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID | None]
    user_id: Mapped[UUID | None]


class LoginAddress(UserBase):
    """An address, as a digest, that a user has logged in from within thirty days."""

    __tablename__ = "login_addresses"
    __table_args__ = (of_a_user("login_addresses"),)

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    address: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    last_login_at: Mapped[datetime] = mapped_column(server_default=func.now())


class DigestKey(UserBase):
    """The key of those digests, one row, unless LOG_DIGEST_KEY is set; a function reads it."""

    __tablename__ = "digest_keys"

    key: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)


class LoginThrottle(UserBase):
    """The counts of the version before: empty, and to be dropped with its functions."""

    __tablename__ = "login_throttles"
    __table_args__ = (Index("idx_login_throttles_updated_at", "updated_at"),)

    key: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    failures: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    retry_at: Mapped[datetime] = mapped_column(server_default=func.now())
    succeeded_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


PENDING, DELETED = text("delivered_rev < rev"), text("state = 'deleted'")


class SubjectLedger(UserBase):
    """A row per user there is or ever was, kept by a trigger on `users`; no personal data.

    `delivered_rev < rev` means that the general database has yet to hear of the last change.
    """

    __tablename__ = "subject_ledger"
    __table_args__ = (
        CheckConstraint("state IN ('present', 'deleted')", name="state"),
        Index("idx_subject_ledger_user_id", "user_id", unique=True),
        Index("idx_subject_ledger_pending", "not_before", postgresql_where=PENDING),
        Index(
            "idx_subject_ledger_pending_tenant", "tenant_id", "not_before", postgresql_where=PENDING
        ),
        Index("idx_subject_ledger_pending_newest", "changed_at", postgresql_where=PENDING),
        Index(
            "idx_subject_ledger_deleted",
            *("tenant_id", "changed_at", "user_id"),
            postgresql_where=DELETED,
        ),
        Index("idx_subject_ledger_changed_at", "changed_at", "user_id", postgresql_where=DELETED),
        Index(
            "idx_subject_ledger_hold_pending",
            "hold_changed_at",
            postgresql_where=text("hold_delivered_rev < hold_rev"),
        ),
        Index(
            "idx_subject_ledger_hold_rev",
            *("tenant_id", "user_id"),
            postgresql_where=text("hold_rev > 0"),
        ),
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(String(10))
    rev: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    delivered_rev: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    receipt: Mapped[str | None] = mapped_column(String(64))
    completed_at: Mapped[datetime | None]
    chat_sessions: Mapped[int | None] = mapped_column(BigInteger)
    messages: Mapped[int | None] = mapped_column(BigInteger)
    not_before: Mapped[datetime] = mapped_column(server_default=func.now())
    lease_until: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    last_error: Mapped[str | None] = mapped_column(String(200))
    # A trigger fills these when the person's key is deleted with them.
    sealed: Mapped[bool | None]
    key_destroyed_at: Mapped[datetime | None]
    plain_until: Mapped[datetime | None]
    unrecoverable_after: Mapped[datetime | None]
    # A trigger counts what is placed and lifted; a relay delivers it.
    hold_rev: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    hold_delivered_rev: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    hold_changed_at: Mapped[datetime | None]


class UserIdempotencyKey(StoredAnswer, UserBase):
    """A key that its user sent; gone with them.

    With the user it created, who is not its own, goes its answer alone: a trigger sees to it, and
    the key stays used.
    """

    __tablename__ = "user_idempotency_keys"
    __table_args__ = (
        of_a_user("user_idempotency_keys"),
        ForeignKeyConstraint(["about_id"], ["users.id"], ondelete="SET NULL"),
        Index("idx_user_idempotency_keys_user_id", "user_id"),
        Index(
            "idx_user_idempotency_keys_about_id",
            "about_id",
            postgresql_where=text("about_id IS NOT NULL"),
        ),
        Index("idx_user_idempotency_keys_expires_at", "expires_at"),
    )
