"""Writes the rows of the general database as lines that an import restores them from.

They are the lines of the export over HTTP, with further members for what only an import needs.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from app.bridge.export.lines import ChatSessionLine, MessageLine
from app.chat import metadata
from app.chat.schemas import ForkedFrom

VERSION = 1
LINE_END = re.compile(r"[\r\n]")  # white space in JSON, outside of any string
encode = msgspec.json.Encoder().encode


class StoredSession(NamedTuple):
    """The columns of a conversation that an export carries; the others follow from these."""

    id: UUID
    title: str
    message_count: int
    last_position: int | None
    version: int
    metadata: str | None
    external_id: str | None
    expires_at: datetime | None
    created_by: UUID | None
    forked_from_session: UUID | None
    forked_from_position: int | None
    created_at: datetime
    updated_at: datetime


class StoredMessage(NamedTuple):
    """The columns of a message."""

    id: UUID
    session_id: UUID
    position: int
    role: str
    content: str
    parts: str | None
    metadata: str | None
    client_id: str | None
    client_digest: bytes | None
    item_id: str | None
    item_members: str | None
    is_item: bool
    status: str
    created_by: UUID | None
    created_at: datetime
    updated_at: datetime | None


class HeadLine(Struct, frozen=True, tag_field="type", tag="export"):
    """The first line says how the others are to be read."""

    version: int


class FullChatSessionLine(
    ChatSessionLine, frozen=True, kw_only=True, tag_field="type", tag="chat_session"
):
    version: int


class FullMessageLine(MessageLine, frozen=True, kw_only=True, tag_field="type", tag="message"):
    """`content_text` and `members_text` are the texts as they were sent, where `content` and
    `item_members` cannot have their line ends."""

    client_digest: str | None
    content_text: str | UnsetType = UNSET
    members_text: str | UnsetType = UNSET


class UserEndLine(Struct, frozen=True, tag_field="type", tag="user_end"):
    """Everything about the person came before. The digest is of all their lines before this one."""

    user_id: UUID
    chat_sessions: int
    messages: int
    sha256: str


class EndLine(Struct, frozen=True, tag_field="type", tag="end"):
    """The file is whole. The digest is of all lines before this one."""

    users: int
    chat_sessions: int
    messages: int
    sha256: str


def session_line(row: StoredSession) -> bytes:
    source, position = row.forked_from_session, row.forked_from_position or 0
    return ndjson(
        FullChatSessionLine(
            id=row.id,
            title=row.title,
            metadata=metadata.shown(row.metadata),
            external_id=row.external_id,
            message_count=row.message_count,
            last_position=row.message_count if row.last_position is None else row.last_position,
            expires_at=row.expires_at,
            created_by=row.created_by,
            forked_from=source and ForkedFrom(source, position),
            created_at=row.created_at,
            updated_at=row.updated_at,
            version=row.version,
        )
    )


def message_line(row: StoredMessage) -> bytes:
    content, members = row.parts, row.item_members
    return ndjson(
        FullMessageLine(
            id=row.id,
            session_id=row.session_id,
            position=row.position,
            role=row.role,  # type: ignore[arg-type]  # a constraint holds the roles
            content=_raw(content) if content else row.content,
            metadata=Raw((row.metadata or "{}").encode()),
            client_id=row.client_id,
            status=row.status,  # type: ignore[arg-type]  # a constraint holds these, too
            created_by=row.created_by,
            created_at=row.created_at,
            updated_at=row.updated_at or row.created_at,
            item_id=row.item_id,
            item_members=_raw(members) if members else None,
            is_item=row.is_item,
            client_digest=row.client_digest.hex() if row.client_digest else None,
            content_text=_text(content),
            members_text=_text(members),
        )
    )


def ndjson(line: Struct) -> bytes:
    return encode(line) + b"\n"


def _raw(json: str) -> Raw:
    return Raw(without_line_ends(json).encode())


def without_line_ends(json: str) -> str:
    return LINE_END.sub(" ", json) if LINE_END.search(json) else json


def _text(json: str | None) -> str | UnsetType:
    return json if json and LINE_END.search(json) else UNSET
