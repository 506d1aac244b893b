"""The general database: receipts of what was deleted. Functions alone write these tables."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.databases.bases import GeneralBase


class ErasureReceipt(GeneralBase):
    """A receipt proves that an owner's conversations are gone, or counts what a retention deleted.

    `v` is the version of its hash. Only link_receipt and its callers write one, and nothing
    changes it. `user_id` in a retention's receipt is an id of the receipt's own.
    """

    __tablename__ = "erasure_receipts"
    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "user_id"),
        CheckConstraint("remaining = 0", name="remaining"),
        CheckConstraint(
            "kind IN ('erasure', 'retention') AND (kind = 'retention') = (cutoff IS NOT NULL)",
            name="kind",
        ),
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
    v: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    kind: Mapped[str] = mapped_column(String(20), server_default=text("'erasure'"))
    cutoff: Mapped[datetime | None]
    sealed: Mapped[bool | None]
    key_destroyed_at: Mapped[datetime | None]
    unrecoverable_after: Mapped[datetime | None]


class RetentionTally(GeneralBase):
    """Counts what sweeps deleted in a tenant on a day (UTC), until that becomes a receipt.

    `id` becomes the receipt's `user_id`; `cutoff` is the latest one of that day's sweeps.
    """

    __tablename__ = "retention_tallies"
    __table_args__ = (PrimaryKeyConstraint("tenant_id", "day"),)

    tenant_id: Mapped[UUID]
    day: Mapped[date]
    id: Mapped[UUID] = mapped_column(server_default=text("gen_random_uuid()"))
    chat_sessions: Mapped[int] = mapped_column(BigInteger)
    messages: Mapped[int] = mapped_column(BigInteger)
    cutoff: Mapped[datetime]
