"""The lines that an import reads: those of either export, member by member."""

from __future__ import annotations

from typing import Annotated, NamedTuple
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from app.bridge.export.full_lines import EndLine, HeadLine, UserEndLine
from app.chat import schemas
from app.chat.metadata import Metadata
from app.chat.openai import ids
from app.http.external_ids import ExternalId
from app.http.words import pattern

MAX_VERSION = 2**62
Count = Annotated[int, Meta(ge=0, le=schemas.MAX_POSITION)]
ITEM_ID = pattern(rf"^{ids.PREFIXED.pattern}\Z", "Send an id of the form `prefix_…`.")
ItemId = Annotated[str, Meta(max_length=ids.MAX_LENGTH, pattern=ITEM_ID)]
DIGITS = pattern(r"^[0-9a-f]{64}\Z", "Send 64 hexadecimal digits.")
Digest = Annotated[str, Meta(pattern=DIGITS)]


class User(Struct, frozen=True, tag_field="type", tag="user"):
    """A person's first line. Its other members are not read: the user database moves by itself."""

    id: UUID
    tenant_id: UUID


class AuditEvent(Struct, frozen=True, tag_field="type", tag="audit_event"):
    """It is skipped, since it moves with the user database."""


class LoginAddress(Struct, frozen=True, tag_field="type", tag="login_address"):
    """It is skipped likewise."""


class Hold(Struct, frozen=True, tag_field="type", tag="hold"):
    """It is skipped likewise; `litestar reconcile --repair` brings the hold into force."""


class ForkedFrom(Struct, frozen=True, forbid_unknown_fields=True):
    session_id: UUID
    position: Count


class ChatSession(
    Struct, frozen=True, tag_field="type", tag="chat_session", forbid_unknown_fields=True
):
    id: UUID
    title: schemas.Title
    metadata: Metadata
    external_id: ExternalId | None
    message_count: Count
    last_position: Count
    expires_at: schemas.Moment | None
    created_by: UUID | None
    forked_from: ForkedFrom | None
    created_at: schemas.Moment
    updated_at: schemas.Moment
    version: Annotated[int, Meta(ge=0, le=MAX_VERSION)] = 0


class Message(Struct, frozen=True, tag_field="type", tag="message", forbid_unknown_fields=True):
    id: UUID
    session_id: UUID
    position: Annotated[int, Meta(ge=1, le=schemas.MAX_POSITION)]
    role: schemas.MessageRole
    content: Raw
    metadata: Raw
    client_id: ExternalId | None
    status: schemas.MessageStatus
    created_by: UUID | None
    created_at: schemas.Moment
    updated_at: schemas.Moment
    item_id: ItemId | None
    item_members: Raw | None
    is_item: bool
    client_digest: Digest | UnsetType | None = UNSET
    content_text: str | UnsetType = UNSET
    members_text: str | UnsetType = UNSET


OfUserDatabase = AuditEvent | LoginAddress | Hold
Line = HeadLine | User | OfUserDatabase | ChatSession | Message | UserEndLine | EndLine


class Numbered(NamedTuple):
    """A line as it was read; `line` is None for one that is bad."""

    number: int
    sent: bytes
    line: Line | None


decode = msgspec.json.Decoder(Line).decode
decode_metadata = msgspec.json.Decoder(Metadata).decode
