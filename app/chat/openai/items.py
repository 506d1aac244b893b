"""Items of a conversation, as OpenAI's clients write and read them, are messages here.

An item of `type` "message" is a message. A call of a function and its output are messages whose
only part is a `tool_call` or a `tool_result`. Any other item is the one part of its message, kept
as it was sent. Members that a message has no place for are kept beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Raw

from app.chat.models import ROLES, STATUSES
from app.chat.openai.ids import is_kept, message_id
from app.chat.openai.members import Members
from app.chat.parts import decode_list
from app.chat.words import Seal
from app.http.errors import Invalid

COMPLETED = "completed"
NEEDS_ROLE = f"Send one of these: {', '.join(ROLES)}."
NEEDS_STATUS = f"Send one of these: {', '.join(STATUSES)}."
NEEDS_CONTENT = "Send a string, or a list of objects that have a `type`."
NEEDS_TYPE = "Send a string."
NEEDS_OBJECT = "Send an object."


class Item(NamedTuple):
    """An item as its message has it. `content` is JSON: a string, or a list of parts.

    `members` is the JSON of those that have no column. `is_whole`: the one part is the item.
    """

    role: str
    status: str
    content: str
    id: str | None
    members: str | None = None
    is_whole: bool = False


class StoredItem(NamedTuple):
    """The columns of an item's message; `content` is not read where `parts` is there."""

    id: UUID
    role: str
    status: str
    content: str | None
    parts: str | None
    item_id: str | None
    members: str | None
    is_whole: bool
    unreadable: bool = False


def stored_item(row: Iterable[Any], session_id: UUID, seal: Seal) -> StoredItem:
    """Read the columns, and what is sealed of them, which is the last."""
    *plain, sealed = row
    item = StoredItem(*plain)
    if sealed is None:
        return item
    words = seal.words(session_id, item.id, sealed)
    if words is None:
        return item._replace(unreadable=True)
    content, parts, _, members, _ = words
    text = content if parts is None else None
    return item._replace(content=text, parts=parts, members=members)


def is_left_out(row: Iterable[Any]) -> bool:
    """Tell whether a page that has bytes enough ended before this row."""
    _, _, _, content, parts, _, _, _, sealed, *_ = row
    return content is None and parts is None and sealed is None


def item(sent: bytes, path: str) -> Item:
    """Take an item apart. Raises Invalid, with `path`, for what is none."""
    try:
        members = Members(sent)
    except msgspec.ValidationError:
        raise Invalid.field(path, NEEDS_OBJECT) from None
    kind = members.string("type") if "type" in members else "message"
    if kind is None:
        raise Invalid.field(f"{path}.type", NEEDS_TYPE)
    if kind == "message":
        return _message(members, path)
    read = READ.get(kind)
    return (read and read(members)) or _whole(members, kind)


def _message(members: Members, path: str) -> Item:
    role, status = members.string("role"), _status(members)
    content = members.json("content") or ""
    if role not in ROLES:
        raise Invalid.field(f"{path}.role", NEEDS_ROLE)
    if status is None:
        raise Invalid.field(f"{path}.status", NEEDS_STATUS)
    if not content.startswith(('"', "[")):
        raise Invalid.field(f"{path}.content", NEEDS_CONTENT)
    others = members.without("type", "id", "role", "status", "content")
    return Item(role, status, content, _id(members), others)


def _call(members: Members) -> Item | None:
    names = {"id": "call_id", "name": "name", "arguments": "arguments"}
    if any(members.string(name) is None for name in names.values()):
        return None
    return _as_part(members, "assistant", "tool_call", names)


def _output(members: Members) -> Item | None:
    if members.string("call_id") is None or "output" not in members:
        return None
    return _as_part(
        members, "tool", "tool_result", {"tool_call_id": "call_id", "content": "output"}
    )


READ: dict[str, Callable[[Members], Item | None]] = {
    "function_call": _call,
    "function_call_output": _output,
}


def _as_part(members: Members, role: str, kind: str, names: dict[str, str]) -> Item | None:
    """Make the native part of a call, of the item's members; None where its status is no status."""
    status = _status(members)
    if status is None:
        return None
    given = "".join(f',"{ours}":{members.json(theirs)}' for ours, theirs in names.items())
    others = members.without("type", "id", "status", *names.values())
    return Item(role, status, f'[{{"type":"{kind}"{given}}}]', _id(members), others)


def _whole(members: Members, kind: str) -> Item:
    role = "tool" if kind.endswith("_output") else "assistant"
    content = f"[{members.without('id')}]"
    return Item(role, COMPLETED, content, _id(members), is_whole=True)


def _status(members: Members) -> str | None:
    status = members.string("status") if "status" in members else COMPLETED
    return status if status in STATUSES else None


def _id(members: Members) -> str | None:
    id_ = members.string("id")
    return id_ if is_kept(id_) else None


def shown(row: StoredItem) -> Raw:
    """Write the item of a message."""
    id_ = shown_id(row)
    if row.unreadable:
        said = f'"role":"{row.role}","content":[],"status":"incomplete"'
        return Raw(f'{{"id":"{id_}","type":"message",{said}}}'.encode())
    if row.is_whole and row.parts:
        return Raw(f'{{"id":"{id_}",{row.parts[2:-1]}'.encode())
    call = _shown_call(row.parts) if row.parts and '"tool_' in row.parts else None
    body = call or (f'"type":"message","role":"{row.role}","content":{_shown_content(row)}')
    others = f",{row.members[1:-1]}" if row.members else ""
    return Raw(f'{{"id":"{id_}",{body},"status":"{row.status}"{others}}}'.encode())


def shown_id(row: StoredItem) -> str:
    return row.item_id or message_id(row.id)


def _shown_content(row: StoredItem) -> str:
    if row.parts is not None and row.parts.startswith("["):
        return row.parts
    text = row.parts if row.parts is not None else msgspec.json.encode(row.content).decode()
    if row.role == "assistant":
        return f'[{{"type":"output_text","text":{text},"annotations":[]}}]'
    return f'[{{"type":"input_text","text":{text}}}]'


SHOWN = {
    "tool_call": ("function_call", {"call_id": "id", "name": "name", "arguments": "arguments"}),
    "tool_result": ("function_call_output", {"call_id": "tool_call_id", "output": "content"}),
}


def _may_be_one(parts: str) -> bool:
    """Tell a part that is alone from more, and from a text; msgspec may be unable to."""
    try:
        return len(decode_list(parts)) == 1
    except msgspec.ValidationError:
        return False
    except msgspec.DecodeError:
        return True


def _shown_call(parts: str) -> str | None:
    """Write the members of a call, or of an output, that is alone in its message; else None."""
    if not _may_be_one(parts):
        return None
    try:
        part = Members(parts[1:-1].encode())
    except msgspec.DecodeError:  # there are more parts, with halves of surrogate pairs
        return None
    kind, names = SHOWN.get(part.string("type") or "", ("", {}))
    if not kind:
        return None
    given = "".join(f',"{theirs}":{part.json(ours)}' for theirs, ours in names.items())
    others = part.without("type", *names.values())
    return f'"type":"{kind}"{given}' + (f",{others[1:-1]}" if others else "")
