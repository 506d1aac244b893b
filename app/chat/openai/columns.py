"""Items are prepared for their columns: bounded, read, and given the ids that they keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from msgspec import Raw
from uuid_utils.compat import uuid7

from app.chat import parts
from app.chat.openai.ids import MESSAGE, uuid_of
from app.chat.openai.items import Item, StoredItem, item
from app.chat.sizes import is_within
from app.chat.words import Seal, Words
from app.http.errors import PayloadTooLarge
from app.http.surrogates import without_halves

TOO_LARGE = "An item may have 1 MiB; that of index {} has more."


class Prepared(NamedTuple):
    """An item as it is stored, under the id that its message keeps however often it is tried."""

    id: UUID
    item: Item
    content: str
    parts: str | None

    @property
    def words(self) -> Words:
        return Words(self.content, self.parts, members=self.item.members)

    def stored(self, taken: Sequence[str]) -> StoredItem:
        """Show it as it is once it is stored: an id that was taken is not its own."""
        item_id = None if self.item.id in taken else self.item.id
        text = self.content if self.parts is None else None
        role, status, members = self.item.role, self.item.status, self.item.members
        return StoredItem(
            self.id, role, status, text, self.parts, item_id, members, self.item.is_whole
        )


def prepared(sent: Sequence[Raw]) -> list[Prepared]:
    """Raises Invalid, and PayloadTooLarge. Of two items with the same id the first keeps it."""
    all_of = [_prepared(bytes(one), number) for number, one in enumerate(sent)]
    seen = set[str]()
    for number, one in enumerate(all_of):
        if one.item.id in seen:
            all_of[number] = one._replace(item=one.item._replace(id=None))
        elif one.item.id is not None:
            seen.add(one.item.id)
    return all_of


def _prepared(sent: bytes, number: int) -> Prepared:
    path = f"items[{number}]"
    if not is_within(sent):
        raise PayloadTooLarge(TOO_LARGE.format(number))
    parts.check_depth(sent, path)
    one = item(sent, path)
    if one.content.startswith('"'):
        return Prepared(uuid7(), one, *_text(one.content))
    text = parts.text_of(one.content.encode(), f"{path}.content")
    return Prepared(uuid7(), one, text, one.content)


def _text(content: str) -> tuple[str, str | None]:
    """Read a string's JSON; it is kept where the column of texts cannot hold the string."""
    readable = without_halves(content.encode())
    text = parts.decode_text(readable)
    is_exact = readable == content.encode() and "\0" not in text
    return text.replace("\0", parts.REPLACEMENT), None if is_exact else content


def columns(items: Sequence[Prepared], session_id: UUID, seal: Seal) -> dict[str, Any]:
    """Turn the items into one array for each column."""
    ids = [one.item.id for one in items]
    rows = [seal.columns(session_id, one.id, one.words) for one in items]
    return {
        "ids": [one.id for one in items],
        "roles": [one.item.role for one in items],
        "contents": [one.content for one in rows],
        "parts": [one.parts for one in rows],
        "statuses": [one.item.status for one in items],
        "item_ids": ids,
        "native_ids": [native for id_ in ids if id_ and (native := uuid_of(id_, MESSAGE))],
        "members": [one.members for one in rows],
        "are_items": [one.item.is_whole for one in items],
        "sealed": [one.sealed for one in rows],
        "sizes": [one.size for one in rows],
    }
