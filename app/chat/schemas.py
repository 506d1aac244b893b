"""The routes of chat take and answer these."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from app.chat.metadata import Metadata
from app.http.external_ids import ExternalId
from app.http.words import pattern

BATCH = 1000
# PostgreSQL's text holds every character but this one.
NO_NUL = pattern(r"^[^\x00]*$", "Leave the character U+0000 out.")
MAX_POSITION = 2**53 - 1  # what every client's numbers hold
Moment = Annotated[datetime, Meta(tz=True)]
MessageRole = Annotated[Literal["user", "assistant"], Meta(title="MessageRole")]
Title = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=NO_NUL, examples=["Holiday in Norway"])
]
Content = Annotated[
    str, Meta(min_length=1, max_length=262_144, pattern=NO_NUL, examples=["Where is it warm?"])
]


class NewChatSession(Struct, frozen=True, forbid_unknown_fields=True):
    title: Title | None = None
    metadata: Metadata | None = None
    external_id: ExternalId | None = None
    expires_at: Moment | None = None


class NamedChatSession(Struct, frozen=True, forbid_unknown_fields=True):
    """Opens a session whose external id is in the path."""

    title: Title | None = None
    metadata: Metadata | None = None
    expires_at: Moment | None = None


class ChatSessionChange(Struct, frozen=True, forbid_unknown_fields=True):
    title: Title | UnsetType = UNSET
    metadata: Metadata | UnsetType | None = UNSET
    external_id: ExternalId | UnsetType | None = UNSET
    expires_at: Moment | UnsetType | None = UNSET


class Fork(Struct, frozen=True, forbid_unknown_fields=True):
    position: Annotated[int, Meta(ge=0, le=MAX_POSITION, examples=[2])] | None = None


class ForkedFrom(Struct, frozen=True):
    session_id: UUID
    position: Annotated[int, Meta(ge=0)]


class ChatSession(Struct, frozen=True):
    id: UUID
    title: Annotated[str, Meta(examples=["Holiday in Norway"])]
    metadata: Metadata
    external_id: Annotated[str | None, Meta(examples=["thread-4711"])]
    message_count: Annotated[int, Meta(ge=0)]
    last_position: Annotated[int, Meta(ge=0)]
    expires_at: datetime | None
    created_by: UUID | None
    forked_from: ForkedFrom | None
    created_at: datetime
    updated_at: datetime


class ChatSessionPage(Struct, frozen=True):
    items: list[ChatSession]
    next: str | None


class NewMessage(Struct, frozen=True, forbid_unknown_fields=True):
    role: MessageRole
    content: Content


class NewMessages(Struct, frozen=True, forbid_unknown_fields=True):
    messages: Annotated[list[NewMessage], Meta(min_length=1, max_length=BATCH)]


class Message(Struct, frozen=True):
    id: UUID
    session_id: UUID
    position: Annotated[int, Meta(ge=1)]
    role: MessageRole
    content: Annotated[str, Meta(examples=["Where is it warm?"])]
    created_at: datetime


class MessagePage(Struct, frozen=True):
    items: list[Message]
    next: str | None


class Messages(Struct, frozen=True):
    items: list[Message]
