"""The declarative bases: one for each database, so that each table is in exactly one of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

import sqlalchemy as sa
from advanced_alchemy.base import CommonTableAttributes, metadata_registry
from sqlalchemy.orm import DeclarativeBase

type_annotations: dict[Any, Any] = {
    UUID: sa.Uuid(),
    datetime: sa.DateTime(timezone=True),
    str: sa.Text(),
}


class UserBase(CommonTableAttributes, DeclarativeBase):
    """Tables of the user database. Each base has a registry of its own (no name crosses over)."""

    __abstract__ = True
    __bind_key__: ClassVar[str] = "user"
    metadata = metadata_registry.get("user")
    type_annotation_map = type_annotations


class GeneralBase(CommonTableAttributes, DeclarativeBase):
    """Tables of the general database."""

    __abstract__ = True
    __bind_key__: ClassVar[str] = "general"
    metadata = metadata_registry.get("general")
    type_annotation_map = type_annotations


def heartbeats(metadata: sa.MetaData) -> sa.Table:
    """Make the table of one row that both databases have; its functions alone read and write it.

    `beat` is this database's count, and `seen` the last one of the other database's that was noted
    here: whichever is behind what the other one has seen of it has lost commits.
    """
    return sa.Table(
        "heartbeats",
        metadata,
        sa.Column("beat", sa.BigInteger, server_default=sa.text("0"), nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True)),
        sa.Column("seen", sa.BigInteger, server_default=sa.text("0"), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True)),
    )


heartbeats(UserBase.metadata)
heartbeats(GeneralBase.metadata)
