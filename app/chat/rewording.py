"""Turns an edit of a message into columns to set, or, where it is sealed, into words to seal."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from msgspec import UNSET

from app.chat.messages import content_columns
from app.chat.metadata import stored
from app.chat.schemas import MessageEdit
from app.chat.words import Words, cannot_read


class StoredMessage(NamedTuple):
    """The row that get_message gives back."""

    id: UUID
    position: int
    role: str
    content: str
    parts: str | None
    metadata: str | None
    client_id: str | None
    status: str
    created_by: UUID | None
    created_at: datetime
    updated_at: datetime | None
    sealed: bytes | None
    version: int
    changed_at: datetime
    item_members: str | None
    client_digest: bytes | None


def changes(edit: MessageEdit) -> dict[str, Any]:
    content = (None, None) if edit.content is UNSET else content_columns(edit.content, "content")
    return {
        "is_reworded": edit.content is not UNSET,
        "has_content": edit.content is not UNSET,
        "content": content[0],
        "parts": content[1],
        "has_metadata": edit.metadata is not UNSET,
        "metadata": None if edit.metadata is UNSET else stored(edit.metadata),
        "status": None if edit.status is UNSET else edit.status,
        **dict.fromkeys(("sealed", "size", "digest", "seen", "seen_at")),
    }


def edited(words: Words | None, edit: MessageEdit) -> Words:
    """Raises Conflict where something is to stay that cannot be read."""
    if words is None:
        if edit.content is UNSET or edit.metadata is UNSET:
            raise cannot_read()
        words = Words("")
    if edit.content is not UNSET:
        content, parts = content_columns(edit.content, "content")
        words = words._replace(content=content, parts=parts, members=None)
    if edit.metadata is not UNSET:
        words = words._replace(metadata=stored(edit.metadata))
    return words
