"""The routes of chat take and answer these."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from app.http.words import pattern

BATCH = 1000
# PostgreSQL's text holds every character but this one.
NO_NUL = pattern(r"^[^\x00]*$", "Leave the character U+0000 out.")
MessageRole = Annotated[Literal["user", "assistant"], Meta(title="MessageRole")]
Title = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=NO_NUL, examples=["Holiday in Norway"])
]
Content = Annotated[
    str, Meta(min_length=1, max_length=262_144, pattern=NO_NUL, examples=["Where is it warm?"])
]


class NewChatSession(Struct, frozen=True, forbid_unknown_fields=True):
    title: Title | None = None


class ChatSessionTitle(Struct, frozen=True, forbid_unknown_fields=True):
    title: Title


class ChatSession(Struct, frozen=True):
    id: UUID
    title: Annotated[str, Meta(examples=["Holiday in Norway"])]
    message_count: Annotated[int, Meta(ge=0)]
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
