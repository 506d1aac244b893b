"""Rows of messages become what a client gets, from the columns in the order of MESSAGE_COLUMNS."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from msgspec import Raw

from app.chat.schemas import Message

# `content` is not read where `parts` is there.
MESSAGE_COLUMNS = (
    "id",
    "position",
    "role",
    "content",
    "parts",
    "metadata",
    "client_id",
    "status",
    "created_by",
    "created_at",
    "updated_at",
)
NO_METADATA = Raw(b"{}")


def messages_of(rows: Iterable[Sequence[Any]], session_id: UUID) -> list[Message]:
    return [
        Message(
            id,
            session_id,
            position,
            role,
            content if parts is None else Raw(parts.encode()),
            NO_METADATA if metadata is None else Raw(metadata.encode()),
            client_id,
            status,
            created_by,
            created_at,
            updated_at or created_at,
        )
        for (
            id,  # noqa: A001  # the column's name
            position,
            role,
            content,
            parts,
            metadata,
            client_id,
            status,
            created_by,
            created_at,
            updated_at,
            *_,  # a statement's own
        ) in rows
    ]
