"""Conversations and their items, for OpenAI's clients: the rows of chat sessions and messages.

The statements call functions in app/databases/sql/general, which set the tenant themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from msgspec import Raw
from sqlalchemy import text

from app.chat.appended import Appended
from app.chat.edits import EditService
from app.chat.etags import ANY
from app.chat.fetching import Fetch
from app.chat.openai.columns import Prepared, columns
from app.chat.openai.ids import MESSAGE, is_kept, uuid_of
from app.chat.openai.items import StoredItem, is_left_out, shown, shown_id, stored_item
from app.chat.openai.schemas import ItemList
from app.chat.pages import PAGE_BYTES
from app.chat.words import Seal, reading, writing
from app.chat.writes import Writes
from app.databases.database import Database
from app.databases.sessions import GeneralSession
from app.databases.statement import Statement
from app.http.errors import NotFound
from app.http.idempotency import KeyedRequest
from app.http.security import Principal

STORE = Statement(
    text(
        "SELECT taken FROM write_items(:tenant_id, :user_id, :session_id, :ids, :roles,"
        " :contents, :parts, :statuses, :item_ids, :native_ids, :members, :are_items,"
        " :author, :sealed, :sizes, :seal_key, :not_after)"
    )
)
COLUMNS = "id, role, status, content, parts, item_id, item_members, is_item, sealed, position"
PAGE = Statement(
    text(
        f"SELECT {COLUMNS} FROM list_items(:tenant_id, :user_id, :session_id, :newest, :item,"  # noqa: S608  # names of ours
        " :native, :rows, :bytes)"
    ),
    reads=True,
)
FIND = Statement(
    text(
        f"SELECT {COLUMNS} FROM get_item(:tenant_id, :user_id, :session_id, :item, :native)"  # noqa: S608  # likewise
    ),
    reads=True,
)
POSITION = -1  # of COLUMNS


class ItemService:
    """Appends, reads and deletes a conversation's items. Raises NotFound for another person's."""

    def __init__(self, general: Database[GeneralSession], writes: Writes) -> None:
        self._general = general
        self._writes = writes

    async def append(
        self,
        owner: Principal,
        session_id: UUID,
        items: Sequence[Prepared],
        request: KeyedRequest | None = None,
    ) -> ItemList | bytes:
        """Append all or none, in the order given."""
        seal = await writing(self._writes.sealing, owner)

        async def write(fetch: Fetch) -> Appended[ItemList]:
            return Appended(await store(fetch, owner, session_id, items, seal))

        return (await self._writes.append(owner, session_id, request, write)).answer

    async def page(
        self, owner: Principal, session_id: UUID, *, limit: int, after: str | None, newest: bool
    ) -> ItemList:
        """Read a page, which ends at `limit` or before it has too many bytes.

        Raises NotFound where `after` is not there.
        """
        values = owner.whose | {"session_id": session_id} | _named(after)
        values |= {"newest": newest, "rows": limit + 1, "bytes": PAGE_BYTES}
        rows = await self._general.fetch(PAGE, values)
        if not rows or rows[0][POSITION] is None:
            raise NotFound
        is_more = len(rows) > limit + 1 or bool(rows[1:] and is_left_out(rows[-1]))
        seal = reading(self._writes.sealing, owner)
        shown_rows = rows[1:-1] if is_more else rows[1:]
        items = [stored_item(row[:POSITION], session_id, seal) for row in shown_rows]
        return listed(items, has_more=is_more)

    async def get(self, owner: Principal, session_id: UUID, item_id: str) -> Raw:
        stored, _ = await self._find(owner, session_id, item_id)
        return shown(stored)

    async def delete(self, owner: Principal, session_id: UUID, item_id: str) -> None:
        """Delete it by its position, which is never given to another item."""
        _, position = await self._find(owner, session_id, item_id)
        await EditService(self._general, self._writes).delete(owner, session_id, position, ANY)

    async def _find(
        self, owner: Principal, session_id: UUID, item_id: str
    ) -> tuple[StoredItem, int]:
        rows = await self._general.fetch(
            FIND, owner.whose | {"session_id": session_id} | _named(item_id)
        )
        if not rows:
            raise NotFound
        seal = reading(self._writes.sealing, owner)
        return stored_item(rows[0][:POSITION], session_id, seal), rows[0][POSITION]


async def store(
    fetch: Fetch, owner: Principal, session_id: UUID, items: Sequence[Prepared], seal: Seal
) -> ItemList:
    """Append the items by one statement. Raises NotFound."""
    values = owner.whose | {"session_id": session_id} | columns(items, session_id, seal)
    values |= {"author": owner.key_id, "seal_key": seal.key_id}
    rows = await fetch(STORE, values)
    if not rows:
        raise NotFound
    taken: list[str] = rows[0][0]
    return listed([one.stored(taken) for one in items], has_more=False)


def listed(items: Sequence[StoredItem], *, has_more: bool) -> ItemList:
    first, last = (shown_id(items[0]), shown_id(items[-1])) if items else (None, None)
    return ItemList([shown(one) for one in items], first, last, has_more)


def _named(item_id: str | None) -> dict[str, Any]:
    """Raises NotFound for what is no item's id."""
    if item_id is not None and not is_kept(item_id):
        raise NotFound
    return {"item": item_id, "native": item_id and uuid_of(item_id, MESSAGE)}
