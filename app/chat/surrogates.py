"""Contents with halves of surrogate pairs are read with a mark in the place of each half."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import UnsetType, structs

from app.chat.schemas import MessageEdit, NewMessage, NewMessages
from app.http.errors import Invalid
from app.http.surrogates import Marked, decode_marked

Message = TypeVar("Message", NewMessage, MessageEdit)
NO_HALVES = "Leave out half of a surrogate pair; `content` alone may have one."


class SentText(str):
    """A text as its column has it, with the JSON in which it was sent."""

    __slots__ = ("json",)

    json: str


def decode_with_halves(body: bytes, shape: type[Any]) -> Any:
    """Decode one message, an edit, or NewMessages. Raises BadRequest where no half is at fault."""
    sent, found = decode_marked(body, shape)
    if not isinstance(sent, NewMessages):
        return _restored(sent, found, "")
    messages = enumerate(sent.messages)
    return NewMessages([_restored(one, found, f"messages[{n}].") for n, one in messages])


def _restored(message: Message, found: Marked, path: str) -> Message:
    check_metadata(message.metadata, found, f"{path}metadata")
    content = message.content
    if isinstance(content, list):
        return structs.replace(message, content=list(map(found.restored_json, content)))
    if isinstance(content, str) and found.mark in content:
        return structs.replace(message, content=_text(content, found))
    return message


def check_metadata(
    metadata: Mapping[str, str] | UnsetType | None, found: Marked, path: str
) -> None:
    """Raises Invalid for halves: metadata are texts, and found by them."""
    pairs = (metadata or {}).items()
    if any(found.mark in text for pair in pairs for text in pair):
        raise Invalid.field(path, NO_HALVES)


def _text(content: str, found: Marked) -> SentText:
    text = SentText(found.without(content))
    text.json = found.restored(msgspec.json.encode(content).decode())
    return text
