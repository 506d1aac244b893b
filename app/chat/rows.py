"""Rows of messages become what a client gets, from the columns in the order of MESSAGE_COLUMNS."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from msgspec import UNSET, Raw

from app.chat.schemas import Message
from app.chat.words import Seal, Words

# `content` is not read where `parts` or `sealed` is there.
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
    "sealed",
)
NO_METADATA = Raw(b"{}")


CONTENT, PARTS, SEALED = map(MESSAGE_COLUMNS.index, ("content", "parts", "sealed"))


def messages_of(rows: Iterable[Sequence[Any]], session_id: UUID, seal: Seal) -> list[Message]:
    return [
        _opened(row, session_id, seal)
        if row[SEALED] is not None
        else Message(
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
        for row in rows
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
        ) in [row]
    ]


def _opened(row: Sequence[Any], session_id: UUID, seal: Seal) -> Message:
    id_, position, role, _, _, _, client_id, status, by, at, changed_at, sealed, *_ = row
    words = seal.words(session_id, id_, sealed)
    return Message(
        id_,
        session_id,
        position,
        role,
        None if words is None else shown_content(words),
        None if words is None else shown_metadata(words.metadata),
        client_id,
        status,
        by,
        at,
        changed_at or at,
        UNSET if words else True,
    )


def shown_content(words: Words) -> str | Raw:
    return words.content if words.parts is None else Raw(words.parts.encode())


def shown_metadata(text: str | None) -> Raw:
    return NO_METADATA if text is None else Raw(text.encode())
