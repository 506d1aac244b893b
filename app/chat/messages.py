"""The three hot routes: one round trip each, through the functions of migration g0006."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import text
from uuid_utils.compat import uuid7

from app.databases.database import Database
from app.databases.direct import Statement
from app.databases.sessions import GeneralSession
from app.http.errors import NotFound
from app.http.security import Principal

MessageRole = Literal["user", "assistant"]
Row = Any  # the driver's, or a session's: both are tuples but in name

SESSION = Statement(text("SELECT * FROM chat_session_of(:tenant_id, :user_id, :session_id)"))
PAGE = Statement(
    text("SELECT * FROM message_page(:tenant_id, :user_id, :session_id, :newest, :after, :rows)")
)
APPEND_ONE = Statement(
    text("SELECT * FROM append_message(:tenant_id, :user_id, :session_id, :id, :role, :content)")
)
APPEND = Statement(
    text(
        "SELECT * FROM append_messages(:tenant_id, :user_id, :session_id, :ids, :roles, :contents)"
    )
)


class NewMessages(NamedTuple):
    """Whose, where to, and what; `statement` and `values` are what appends them."""

    owner: Principal
    session_id: UUID
    ids: Sequence[UUID]
    texts: Sequence[tuple[MessageRole, str]]

    @property
    def statement(self) -> Statement:
        return APPEND_ONE if len(self.texts) == 1 else APPEND

    @property
    def values(self) -> dict[str, Any]:
        values = _key(self.owner, self.session_id)
        if len(self.texts) == 1:
            role, content = self.texts[0]
            return {**values, "id": self.ids[0], "role": role, "content": content}
        roles = [role for role, _ in self.texts]
        contents = [content for _, content in self.texts]
        return {**values, "ids": self.ids, "roles": roles, "contents": contents}

    def appended(self, rows: Sequence[Row]) -> list[Appended]:
        """Of the statement's answer. Raises NotFound when the session is not this user's."""
        first, created_at = _found(rows)[0]
        return [
            Appended(self.ids[i], self.session_id, first + i, role, content, created_at)
            for i, (role, content) in enumerate(self.texts)
        ]


class Appended(NamedTuple):
    id: UUID
    session_id: UUID
    position: int
    role: MessageRole
    content: str
    created_at: datetime


def new_messages(
    owner: Principal, session_id: UUID, texts: Sequence[tuple[MessageRole, str]]
) -> NewMessages:
    return NewMessages(owner, session_id, [uuid7() for _ in texts], texts)


class Conversations:
    """Each method is one transaction. Raises NotFound for a session that is not this user's.

    Rows are what the routes' structs are made of, in their fields' order.
    """

    def __init__(self, general: Database[GeneralSession]) -> None:
        self._general = general

    async def chat_session(self, owner: Principal, session_id: UUID) -> Row:
        return _found(await self._general.fetch(SESSION, _key(owner, session_id)))[0]

    async def append(
        self, owner: Principal, session_id: UUID, texts: Sequence[tuple[MessageRole, str]]
    ) -> list[Appended]:
        """All or none, in the order given, at the session's next positions.

        One conversation's appends wait for each other here: in the database, for its row's lock,
        each would hold a connection, and a handful would keep everybody else from having one.
        """
        new = new_messages(owner, session_id, texts)
        async with self._general.turns.of((owner.user_id, session_id)):
            return new.appended(await self._general.fetch(new.statement, new.values))

    async def page(
        self,
        owner: Principal,
        session_id: UUID,
        *,
        limit: int,
        after: int | None,
        newest_first: bool,
    ) -> Sequence[Row]:
        """Messages by position, one more than `limit` if there are more."""
        values = _key(owner, session_id)
        values |= {"newest": newest_first, "after": after, "rows": limit + 1}
        rows = _found(await self._general.fetch(PAGE, values))
        return rows if rows[0][0] is not None else ()  # an empty session's own row


def _key(owner: Principal, session_id: UUID) -> dict[str, Any]:
    return {"tenant_id": owner.tenant_id, "user_id": owner.user_id, "session_id": session_id}


def _found(rows: Sequence[Row]) -> Sequence[Row]:
    if not rows:
        raise NotFound
    return rows
