"""The general database: that something is gone, erased or kept long enough. Functions write it."""

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
    """That an owner's conversations are gone, or a tenant's that were kept long enough.

    `v` is the version of its hash. Only link_receipt and its callers write one, and nothing
    changes it. `user_id` of a retention's is an id of its own.
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

    `id` is to be the receipt's; `cutoff` is the latest that day's sweeps had.
    """

    __tablename__ = "retention_tallies"
    __table_args__ = (PrimaryKeyConstraint("tenant_id", "day"),)

    tenant_id: Mapped[UUID]
    day: Mapped[date]
    id: Mapped[UUID] = mapped_column(server_default=text("gen_random_uuid()"))
    chat_sessions: Mapped[int] = mapped_column(BigInteger)
    messages: Mapped[int] = mapped_column(BigInteger)
    cutoff: Mapped[datetime]
