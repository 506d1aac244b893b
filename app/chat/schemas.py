"""The routes of chat take and answer these."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from app.chat.metadata import Metadata
from app.http.document.texts import written_as
from app.http.external_ids import ExternalId
from app.http.words import pattern

BATCH = 1000
MAX_PARTS = 256
# PostgreSQL's text holds every character but this one.
NO_NUL = pattern(r"^[^\x00]*$", "Leave the character U+0000 out.")
MAX_POSITION = 2**53 - 1  # what every client's numbers hold
PART_TYPE = pattern(r"^[a-z0-9_.-]+\Z", "Send a type of the characters a-z, 0-9, `_`, `.` and `-`.")
Moment = Annotated[datetime, Meta(tz=True, examples=["2100-01-31T09:30:00Z"])]
MessageRole = Annotated[
    Literal["user", "assistant", "system", "developer", "tool"], Meta(title="MessageRole")
]
MessageStatus = Annotated[
    Literal["completed", "in_progress", "incomplete"], Meta(title="MessageStatus")
]
Title = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=NO_NUL, examples=["Holiday in Norway"])
]
Text = Annotated[str, Meta(min_length=1, examples=["Where is it warm?"])]


class Part(Struct, frozen=True):
    """A piece of what was said. `type` tells what else it has, all of which comes back as sent.

    `text` has `text`; `image`, `audio` and `file` have a `url` or an `id`; `tool_call` has `id`,
    `name` and `arguments`, a string; `tool_result` has `tool_call_id` and `content`. `reasoning`
    and `refusal` have what your model gives; any other type is your own.
    """

    type: Annotated[
        str, Meta(min_length=1, max_length=64, pattern=PART_TYPE, examples=["tool_call"])
    ]


PartText = Annotated[Raw, written_as(Part)]
Content = Text | Annotated[list[PartText], Meta(min_length=1, max_length=MAX_PARTS)]
PartTexts = Annotated[Raw, written_as(list[Part])]
MetadataText = Annotated[Raw, written_as(Metadata)]
Unreadable = Annotated[
    bool,
    Meta(
        description="True where what was said cannot be read any more, since what is stored was"
        " changed; else it is left out."
    ),
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
    title: Annotated[str | None, Meta(examples=["Holiday in Norway"])]
    metadata: Metadata | None
    external_id: Annotated[str | None, Meta(examples=["thread-4711"])]
    message_count: Annotated[int, Meta(ge=0)]
    last_position: Annotated[
        int, Meta(ge=0, description="The last position given; none is given twice.")
    ]
    expires_at: datetime | None
    created_by: Annotated[
        UUID | None, Meta(description="The API key that opened it; null for the person.")
    ]
    forked_from: ForkedFrom | None
    created_at: datetime
    updated_at: datetime
    unreadable: Unreadable | UnsetType = UNSET


class ChatSessionPage(Struct, frozen=True):
    items: list[ChatSession]
    next: str | None


class NewMessage(Struct, frozen=True, forbid_unknown_fields=True):
    """A message to append. `content` is a text, or a list of up to 256 parts."""

    role: MessageRole
    content: Content
    metadata: Metadata | None = None
    client_id: (
        Annotated[
            ExternalId,
            Meta(
                description="Your own id of the message, unique in its conversation: sent again, it"
                " is not stored twice.",
                examples=["turn-7.answer"],
            ),
        ]
        | None
    ) = None
    status: Annotated[
        MessageStatus, Meta(description="It is `completed` where you leave it out.")
    ] = "completed"


class NewMessages(Struct, frozen=True, forbid_unknown_fields=True):
    messages: Annotated[list[NewMessage], Meta(min_length=1, max_length=BATCH)]


class MessageEdit(Struct, frozen=True, forbid_unknown_fields=True):
    """An edit changes what it names; the rest of the message stays as it is."""

    content: Content | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET
    status: MessageStatus | UnsetType = UNSET


class Message(Struct, frozen=True):
    id: UUID
    session_id: UUID
    position: Annotated[int, Meta(ge=1)]
    role: MessageRole
    content: Annotated[str, Meta(examples=["Where is it warm?"])] | PartTexts | None
    metadata: MetadataText | None
    client_id: str | None
    status: MessageStatus
    created_by: Annotated[
        UUID | None, Meta(description="The API key that wrote it; null for the person.")
    ]
    created_at: datetime
    updated_at: datetime
    unreadable: Unreadable | UnsetType = UNSET


class MessagePage(Struct, frozen=True):
    items: list[Message]
    next: str | None


class Messages(Struct, frozen=True):
    items: list[Message]
