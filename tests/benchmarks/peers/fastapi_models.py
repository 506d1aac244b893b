"""The answers and bodies of both peers on FastAPI."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class FromRow(BaseModel):
    model_config = ConfigDict(from_attributes=True)


Pairs = Annotated[
    dict[str, str],
    BeforeValidator(lambda text: json.loads(text) if text else {}),
    Field(validation_alias="pairs"),
]


class ForkedFrom(BaseModel):
    session_id: UUID
    position: int


class ChatSessionRead(FromRow):
    id: UUID
    title: str
    metadata: Pairs
    external_id: str | None
    message_count: int
    last_position: int
    expires_at: datetime | None
    created_by: UUID | None
    forked_from: ForkedFrom | None
    created_at: datetime
    updated_at: datetime


class MessageCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    role: Literal["user", "assistant"]
    content: str = Field(min_length=1, max_length=262_144)


class MessagesCreate(BaseModel):
    messages: list[MessageCreate] = Field(min_length=1, max_length=1000)


class MessageRead(FromRow):
    id: UUID
    session_id: UUID
    position: int
    role: str
    content: str
    metadata: Pairs
    client_id: str | None
    status: str
    created_by: UUID | None
    created_at: datetime
    updated_at: datetime


class MessagesRead(BaseModel):
    items: list[MessageRead]


class MessagePage(MessagesRead):
    next: str | None
