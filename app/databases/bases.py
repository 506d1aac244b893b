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
