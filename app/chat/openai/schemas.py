"""The routes of conversations take and answer these: the wire of OpenAI's clients."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Raw, Struct, structs

from app.chat.metadata import Metadata
from app.chat.surrogates import check_metadata
from app.http.document.texts import written_as
from app.http.surrogates import decode_marked

ITEMS = 1000
A_MESSAGE = {
    "type": "message",
    "role": "user",
    "content": [{"type": "input_text", "text": "Where is it warm?"}],
}
AnyItem = Annotated[
    dict[str, Any],
    Meta(
        title="ConversationItem",
        description="A message, a call of a function, its output, or any other item with a `type`.",
        examples=[A_MESSAGE],
    ),
]
Item = Annotated[Raw, written_as(AnyItem)]
ConversationId = Annotated[str, Meta(examples=["conv_0198c2b4d5e67f8091a2b3c4d5e6f708"])]


class NewConversation(Struct, frozen=True, forbid_unknown_fields=True):
    items: Annotated[list[Item], Meta(max_length=ITEMS)] | None = None
    metadata: Metadata | None = None


class ConversationChange(Struct, frozen=True, forbid_unknown_fields=True):
    metadata: Metadata | None


class NewItems(Struct, frozen=True, forbid_unknown_fields=True):
    items: Annotated[list[Item], Meta(min_length=1, max_length=ITEMS)]


class Conversation(Struct, frozen=True):
    id: ConversationId
    created_at: Annotated[int, Meta(description="Seconds since 1970.", examples=[1764170000])]
    metadata: Metadata | None
    object: Literal["conversation"] = "conversation"


class DeletedConversation(Struct, frozen=True):
    id: ConversationId
    deleted: Literal[True] = True
    object: Literal["conversation.deleted"] = "conversation.deleted"


class ItemList(Struct, frozen=True):
    data: list[Item]
    first_id: str | None
    last_id: str | None
    has_more: bool
    object: Literal["list"] = "list"


class ConversationList(Struct, frozen=True):
    data: list[Conversation]
    first_id: str | None
    last_id: str | None
    has_more: bool
    object: Literal["list"] = "list"


def decode_with_halves(body: bytes, shape: type[Any]) -> Any:
    """Decode a body whose items may have halves of surrogate pairs. Raises BadRequest, Invalid."""
    sent, found = decode_marked(body, shape)
    if not isinstance(sent, NewItems):
        check_metadata(sent.metadata, found, "metadata")
    if isinstance(sent, ConversationChange) or not sent.items:
        return sent
    return structs.replace(sent, items=list(map(found.restored_json, sent.items)))
