"""Litestar on the bare driver: one round trip for the token, one for the data."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import asyncpg
import msgspec
from litestar import Litestar, Request, get, post
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, NotFoundException
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Raw, Struct
from uuid_utils.compat import uuid7

PAGE = 50
EMPTY = Raw(b"{}")

TOKEN = """
SELECT users.id, users.tenant_id FROM access_tokens
JOIN users ON users.id = access_tokens.user_id
WHERE access_tokens.digest = $1 AND access_tokens.expires_at > now()
AND users.is_active AND NOT users.is_blocked
"""

SESSION = """
SELECT id, title, coalesce(metadata, '{}') AS metadata, external_id, message_count,
       coalesce(last_position, message_count) AS last_position, expires_at, created_by,
       CASE WHEN forked_from_session IS NOT NULL THEN json_build_object(
           'session_id', forked_from_session, 'position', forked_from_position) END AS forked_from,
       created_at, updated_at
FROM chat_sessions
WHERE tenant_id = $1 AND id = $2 AND user_id = $3
"""

# The session's row comes without a message if there is none: that tells an empty one from no one's.
MESSAGES = """
SELECT message.id, session.id AS session_id, message.position, message.role,
       CASE WHEN message.parts IS NULL THEN message.content END AS content, message.parts,
       message.metadata, message.client_id, message.status, message.created_by, message.created_at,
       coalesce(message.updated_at, message.created_at) AS updated_at
FROM chat_sessions AS session LEFT JOIN LATERAL (
    SELECT * FROM messages
    WHERE messages.tenant_id = session.tenant_id AND messages.session_id = session.id
    ORDER BY messages.position DESC LIMIT $4
) AS message ON true
WHERE session.tenant_id = $1 AND session.id = $2 AND session.user_id = $3
"""

APPEND = """
WITH session AS (
    UPDATE chat_sessions
    SET message_count = message_count + cardinality($4::uuid[]), updated_at = now()
    WHERE tenant_id = $1 AND id = $2 AND user_id = $3
    RETURNING message_count - cardinality($4::uuid[]) AS before
)
INSERT INTO messages
    (tenant_id, id, session_id, position, role, content, parts, metadata, client_id, status)
SELECT $1, new.id, $2, session.before + new.number, new.role, new.content, new.parts,
       new.metadata, new.client_id, new.status
FROM session, unnest($4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
                     $10::text[])
    WITH ORDINALITY AS new (id, role, content, parts, metadata, client_id, status, number)
RETURNING id, session_id, position, role, CASE WHEN parts IS NULL THEN content END AS content,
          parts, metadata, client_id, status, created_by,
          created_at, coalesce(updated_at, created_at) AS updated_at
"""


class NewMessage(Struct, forbid_unknown_fields=True):
    role: Literal["user", "assistant", "system", "developer", "tool"]
    content: (
        Annotated[str, Meta(min_length=1, max_length=262_144)]
        | Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=256)]
    )
    metadata: dict[str, str] | None = None
    client_id: str | None = None
    status: Literal["completed", "in_progress", "incomplete"] = "completed"


class NewMessages(Struct, forbid_unknown_fields=True):
    messages: Annotated[list[NewMessage], Meta(min_length=1, max_length=1000)]


class ChatSession(Struct):
    id: UUID
    title: str
    metadata: Raw
    external_id: str | None
    message_count: int
    last_position: int
    expires_at: datetime | None
    created_by: UUID | None
    forked_from: Raw | None
    created_at: datetime
    updated_at: datetime


class Message(Struct):
    id: UUID
    session_id: UUID
    position: int
    role: str
    content: str | Raw
    metadata: Raw
    client_id: str | None
    status: str
    created_by: UUID | None
    created_at: datetime
    updated_at: datetime


class Messages(Struct):
    items: list[Message]


class MessagePage(Messages):
    next: str | None


class User(Struct):
    id: UUID
    tenant_id: UUID


Call = Request[User, Any, Any]


async def authenticate(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer":
        raise NotAuthorizedException
    digest = hashlib.sha256(token.encode()).digest()
    row = await connection.app.state.users.fetchrow(TOKEN, digest)
    if row is None:
        raise NotAuthorizedException
    connection.scope["user"] = User(*row)


@get("/v1/chat-sessions/{session_id:uuid}", guards=[authenticate])
async def get_session(request: Call, session_id: FromPath[UUID]) -> ChatSession:
    user = request.user
    row = await request.app.state.general.fetchrow(SESSION, user.tenant_id, session_id, user.id)
    if row is None:
        raise NotFoundException
    source = row["forked_from"] and Raw(row["forked_from"].encode())
    return ChatSession(**{**row, "metadata": Raw(row["metadata"].encode()), "forked_from": source})


@get("/v1/chat-sessions/{session_id:uuid}/messages", guards=[authenticate])
async def list_messages(request: Call, session_id: FromPath[UUID]) -> MessagePage:
    user = request.user
    pool = request.app.state.general
    rows = await pool.fetch(MESSAGES, user.tenant_id, session_id, user.id, PAGE + 1)
    if not rows:
        raise NotFoundException
    items = [message_of(row) for row in rows[:PAGE] if row["id"] is not None]
    more = str(items[-1].position) if len(rows) > PAGE else None
    return MessagePage(items, more)


async def append(request: Call, session_id: UUID, new: list[NewMessage]) -> list[Message]:
    user = request.user
    rows = await request.app.state.general.fetch(
        APPEND,
        user.tenant_id,
        session_id,
        user.id,
        [uuid7() for _ in new],
        [one.role for one in new],
        [text_of(one.content) for one in new],
        [None if isinstance(one.content, str) else written(one.content) for one in new],
        [written(one.metadata) if one.metadata else None for one in new],
        [one.client_id for one in new],
        [one.status for one in new],
    )
    if not rows:
        raise NotFoundException
    return sorted(map(message_of, rows), key=lambda message: message.position)


def text_of(content: str | list[dict[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if "text" in part)


def written(value: object) -> str:
    return msgspec.json.encode(value).decode()


def message_of(row: asyncpg.Record) -> Message:
    id_, session_id, position, role, content, parts, metadata, *rest = row
    shown = Raw(parts.encode()) if parts else content
    pairs = Raw(metadata.encode()) if metadata else EMPTY
    return Message(id_, session_id, position, role, shown, pairs, *rest)


@post("/v1/chat-sessions/{session_id:uuid}/messages", guards=[authenticate])
async def create_message(
    request: Call, session_id: FromPath[UUID], data: JSONBody[NewMessage]
) -> Message:
    return (await append(request, session_id, [data]))[0]


@post("/v1/chat-sessions/{session_id:uuid}/messages/batch", guards=[authenticate])
async def create_messages(
    request: Call, session_id: FromPath[UUID], data: JSONBody[NewMessages]
) -> Messages:
    return Messages(await append(request, session_id, data.messages))


@get("/health/live")
async def live() -> dict[str, str]:
    return {"status": "alive"}


async def keep_as_it_is(_: asyncpg.Connection) -> None:
    """Instead of the pool's own reset, a round trip after each use: nothing here leaves a state."""


@asynccontextmanager
async def pools(app: Litestar) -> AsyncIterator[None]:
    size = int(os.environ["PEER_POOL_SIZE"])
    same: dict[str, Any] = {"min_size": size, "max_size": size, "reset": keep_as_it_is}
    async with (
        asyncpg.create_pool(os.environ["USER_URL"], **same) as app.state.users,
        asyncpg.create_pool(os.environ["GENERAL_URL"], **same) as app.state.general,
    ):
        yield


app = Litestar(
    [get_session, list_messages, create_message, create_messages, live],
    lifespan=[pools],
    logging_config=None,
)
