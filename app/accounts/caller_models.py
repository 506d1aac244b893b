"""Access tokens, API keys and wrapped keys, which callers come with, and audit events."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.accounts.models import Tenant, of_a_user
from app.databases.bases import UserBase


class ApiKey(UserBase):
    """A product's backend as a caller: the key's SHA-256, and what it may be used for.

    It belongs to the tenant; who made it may be gone.
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "id"),
        Index("idx_api_keys_digest", "digest", unique=True),
        Index("idx_api_keys_id", "id", unique=True),
        Index("idx_api_keys_created_at", "created_at", "id"),
        Index("idx_api_keys_tenant_id", "tenant_id", "created_at", "id"),
        CheckConstraint(
            "jsonb_typeof(scopes) = 'array' AND scopes <> '[]' AND scopes <@ "
            '\'["chat:read", "chat:write", "export", "users:read", "users:write", "users:erase",'
            ' "tokens"]\'',
            name="scopes",
        ),
    )

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey(Tenant.id, ondelete="CASCADE"))
    id: Mapped[UUID]
    name: Mapped[str] = mapped_column(String(100))
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    scopes: Mapped[list[str]] = mapped_column(JSONB)
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class AccessToken(UserBase):
    """A token's SHA-256; the token itself is nowhere.

    `scopes` are None for a token that came of a login; one minted by an API key ends with the key.
    """

    __tablename__ = "access_tokens"
    __table_args__ = (
        of_a_user("access_tokens"),
        Index("idx_access_tokens_user_id", "user_id"),
        Index("idx_access_tokens_expires_at", "expires_at"),
        Index(
            "idx_access_tokens_api_key_id",
            "tenant_id",
            "api_key_id",
            postgresql_where=text("api_key_id IS NOT NULL"),
        ),
        ForeignKeyConstraint(
            ["tenant_id", "api_key_id"],
            ["api_keys.tenant_id", "api_keys.id"],
            name="fk_access_tokens_tenant_id_api_keys",
            ondelete="CASCADE",
        ),
        CheckConstraint(
            "jsonb_typeof(scopes) = 'array' AND scopes <> '[]'"
            ' AND scopes <@ \'["chat:read", "chat:write", "chat:write:any"]\'',
            name="scopes",
        ),
    )

    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    tenant_id: Mapped[UUID]
    user_id: Mapped[UUID]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_used_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    # Nullable only for the version before, which reads rows without it while this one migrates.
    id: Mapped[UUID] = mapped_column(server_default=func.gen_random_uuid(), nullable=True)
    scopes: Mapped[list[str] | None] = mapped_column(JSONB(none_as_null=True))
    api_key_id: Mapped[UUID | None]


class ApiKeyAnswer(UserBase):
    """An idempotency key that an API key sent on nobody's behalf; a person's is in
    `UserIdempotencyKey`.
    """

    __tablename__ = "api_key_answers"
    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "api_key_id", "key"),
        ForeignKeyConstraint(
            ["tenant_id", "api_key_id"],
            ["api_keys.tenant_id", "api_keys.id"],
            name="fk_api_key_answers_tenant_id_api_keys",
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(["about_id"], ["users.id"], ondelete="SET NULL"),
        Index(
            "idx_api_key_answers_about_id",
            "about_id",
            postgresql_where=text("about_id IS NOT NULL"),
        ),
        Index("idx_api_key_answers_expires_at", "expires_at"),
    )

    tenant_id: Mapped[UUID]
    api_key_id: Mapped[UUID]
    key: Mapped[str] = mapped_column(String(255))
    fingerprint: Mapped[str | None]
    answer: Mapped[bytes | None]
    about_id: Mapped[UUID | None]
    expires_at: Mapped[datetime]


class AuditEvent(UserBase):
    """It says who did what to whom, in ids alone, and outlives the person: no foreign keys.

    Only an event of a hold has a `reason`.
    """

    __tablename__ = "audit_events"
    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "id"),
        Index("idx_audit_events_all", text("id DESC NULLS LAST")),
        Index("idx_audit_events_actor_id", "tenant_id", "actor_id", "id"),
        Index("idx_audit_events_target_id", "tenant_id", "target_id", "id"),
        Index("idx_audit_events_action", "tenant_id", "action", "id"),
        Index("idx_audit_events_all_actor_id", "actor_id", "id"),
        Index("idx_audit_events_all_target_id", "target_id", "id"),
        Index("idx_audit_events_all_action", "action", "id"),
        Index(
            "idx_audit_events_on_behalf_of",
            "on_behalf_of",
            "id",
            postgresql_where=text("on_behalf_of IS NOT NULL"),
        ),
        CheckConstraint(
            "actor_type IN ('user', 'api_key', 'operator', 'relay')", name="actor_type"
        ),
    )

    tenant_id: Mapped[UUID]
    id: Mapped[UUID] = mapped_column(server_default=func.audit_id())
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    actor_type: Mapped[str] = mapped_column(String(10))
    actor_id: Mapped[UUID | None]
    on_behalf_of: Mapped[UUID | None]
    action: Mapped[str] = mapped_column(String(50))
    target_type: Mapped[str] = mapped_column(String(20))
    target_id: Mapped[UUID | None]
    request_id: Mapped[str | None] = mapped_column(String(100))
    reason: Mapped[str | None] = mapped_column(String(1000))


class SealingRow(UserBase):
    """The table's one row tells whether new rows are sealed, and how long backups are kept."""

    __tablename__ = "sealing"
    __table_args__ = (CheckConstraint("one", name="one"),)

    one: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    is_on: Mapped[bool] = mapped_column(server_default=text("false"))
    sealed_after: Mapped[datetime | None]
    user_backup_kept_days: Mapped[int] = mapped_column(server_default=text("30"))
    general_backup_kept_days: Mapped[int] = mapped_column(server_default=text("30"))


class MasterKeyRow(UserBase):
    """A master key that every process must have: its id, and a proof. The key is in no database."""

    __tablename__ = "master_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    proof: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class WrappedKeyRow(UserBase):
    """A person's key, encrypted under a master key. The commit that deletes the person deletes it.

    `plain_until` is when their last plain row had been sealed: infinity while there may be one, and
    NULL where there never was.
    """

    __tablename__ = "wrapped_keys"
    __table_args__ = (
        of_a_user("wrapped_keys"),
        PrimaryKeyConstraint("tenant_id", "user_id"),
        Index("idx_wrapped_keys_master_id", "master_id"),
    )

    tenant_id: Mapped[UUID]
    user_id: Mapped[UUID]
    id: Mapped[UUID]
    master_id: Mapped[str] = mapped_column(ForeignKey(MasterKeyRow.id))
    wrapped: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    plain_until: Mapped[datetime | None]
