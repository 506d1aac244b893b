"""All there is about a person, from both databases, as NDJSON in constant memory.

Read in pages by key, each a short transaction of its own: no snapshot is held however slowly the
reader reads, and a reader who goes away leaves nothing behind. What is written meanwhile may or
may not be in it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any
from uuid import UUID

import msgspec
from litestar import Controller, Request, get
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath
from litestar.response import Stream
from sqlalchemy import Row, select, text

from app.accounts import schemas
from app.accounts.models import User
from app.accounts.users import UserService, users
from app.chat import api as chat
from app.chat.models import ChatSession
from app.databases.database import Database
from app.databases.direct import Statement
from app.databases.sessions import GeneralSession
from app.http.openapi import problems
from app.http.security import Principal, administrators, signed_in

PAGE = 1000
NO_SESSION = UUID(int=0)  # before the first
MESSAGES = Statement(
    text("SELECT * FROM export_messages(:tenant_id, :user_id, :session_id, :last, :rows)")
)
NDJSON = "application/x-ndjson"
Call = Request[Principal, Any, Any]


class UserLine(schemas.User, frozen=True, tag_field="type", tag="user"):
    """The first line."""


class ChatSessionLine(chat.ChatSession, frozen=True, tag_field="type", tag="chat_session"):
    """One for each conversation, in order of creation."""


class ExportController(Controller):
    tags = ["export"]
    dependencies = {"users": Provide(users, sync_to_thread=False)}

    @get("/me/export", guards=[signed_in], media_type=NDJSON)
    async def export_me(
        self,
        request: Call,
        users: NamedDependency[UserService],
    ) -> Stream:
        """Export all there is about you: your account, conversations and messages, line by line."""
        return await _export(await users.own(request.user), request.app.state.databases.general)

    @get(
        "/users/{user_id:uuid}/export",
        guards=[administrators],
        media_type=NDJSON,
        responses=problems(403, 404),
    )
    async def export_user(
        self,
        request: Call,
        user_id: FromPath[UUID],
        users: NamedDependency[UserService],
    ) -> Stream:
        """Export all there is about a user, line by line."""
        user = await users.one(request.user, user_id)
        return await _export(user, request.app.state.databases.general)


async def _export(user: User, general: Database[GeneralSession]) -> Stream:
    """The first page is read before the answer starts, so that a database away is still a 503."""
    pages = _pages(general, user)
    first = await anext(pages)

    async def body() -> AsyncGenerator[bytes]:
        yield first
        async for page in pages:
            yield page

    return Stream(body(), media_type=NDJSON)


async def _pages(general: Database[GeneralSession], user: User) -> AsyncGenerator[bytes]:
    account = msgspec.convert(user, UserLine, from_attributes=True)
    page = await _sessions(general, user, None)
    yield _lines([account]) + _lines(page)
    while len(page) == PAGE:
        page = await _sessions(general, user, page[-1].id)
        yield _lines(page)
    async for lines in _messages(general, user):
        yield lines


async def _sessions(
    general: Database[GeneralSession], user: User, after: UUID | None
) -> Sequence[ChatSessionLine]:
    table = ChatSession.__table__.c
    query = (
        select(table.id, table.title, table.message_count, table.created_at, table.updated_at)
        .where(table.tenant_id == user.tenant_id, table.user_id == user.id)
        .order_by(table.id)
        .limit(PAGE)
    )
    if after is not None:
        query = query.where(table.id > after)
    async with general.session(user.tenant_id) as session:
        return _shaped((await session.execute(query)).all(), ChatSessionLine)


async def _messages(general: Database[GeneralSession], user: User) -> AsyncGenerator[bytes]:
    """By conversation and position, as PostgreSQL wrote them."""
    key = {"tenant_id": user.tenant_id, "user_id": user.id, "rows": PAGE}
    session, last = NO_SESSION, 0
    while session is not None:
        values = {**key, "session_id": session, "last": last}
        [(session, last, lines)] = await general.fetch(MESSAGES, values)
        if lines:
            yield lines


def _shaped(rows: Sequence[Row[*tuple[Any, ...]]], line: type[Any]) -> list[Any]:
    return [line(*row) for row in rows]


def _lines(items: Sequence[msgspec.Struct]) -> bytes:
    return msgspec.json.Encoder().encode_lines(items)
