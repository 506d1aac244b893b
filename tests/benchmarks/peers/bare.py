"""Export and batch on the bare driver, with nothing around it: no token, no framework, no policy.

GET /cursor/TENANT/USER and /copy/TENANT/USER write what an export writes; POST …/SESSION/…/batch
stores messages by COPY and answers with them.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from uuid_utils.compat import uuid7

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]

COLUMNS = "message.id, message.session_id, message.position, message.role, message.content"
EXPORT = """
SELECT {columns} FROM chat_sessions AS session
JOIN messages AS message
    ON message.tenant_id = session.tenant_id AND message.session_id = session.id
WHERE session.tenant_id = $1 AND session.user_id = $2 ORDER BY session.id, message.position
"""
ROWS = EXPORT.format(columns=f"{COLUMNS}, message.created_at")
LINES = EXPORT.format(
    columns="""json_build_object('type', 'message', 'id', message.id,
        'session_id', message.session_id, 'position', message.position, 'role', message.role,
        'content', message.content, 'created_at', message.created_at)"""
)
TAKE = """
UPDATE chat_sessions SET message_count = message_count + $3, updated_at = now()
WHERE tenant_id = $1 AND id = $2 RETURNING message_count - $3
"""
INSERTED = ["tenant_id", "id", "session_id", "position", "role", "content", "created_at"]


class Message(msgspec.Struct, tag_field="type", tag="message"):
    id: UUID
    session_id: UUID
    position: int
    role: str
    content: str
    created_at: datetime


class NewMessage(msgspec.Struct):
    role: str
    content: str


class NewMessages(msgspec.Struct):
    messages: list[NewMessage]


class Messages(msgspec.Struct):
    items: list[Message]


encoder = msgspec.json.Encoder()
decoder = msgspec.json.Decoder(NewMessages)


class App:
    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.live(receive, send)
            return
        match scope["path"].strip("/").split("/"):
            case ["cursor", tenant, user]:
                await self.cursor(UUID(tenant), UUID(user), send)
            case ["copy", tenant, user]:
                await self.copy(UUID(tenant), UUID(user), send)
            case ["v1", "chat-sessions", session, "messages", "batch"]:
                await self.batch(UUID(session), await body(receive), send)
            case _:
                await answer(send, b"{}")

    async def live(self, receive: Receive, send: Send) -> None:
        await receive()
        size = int(os.environ["PEER_POOL_SIZE"])
        self.pool = await asyncpg.create_pool(os.environ["GENERAL_URL"], max_size=size)
        found = await self.pool.fetch("SELECT id, tenant_id FROM chat_sessions")
        self.tenants = {row["id"]: row["tenant_id"] for row in found}
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.pool.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def cursor(self, tenant: UUID, user: UUID, send: Send) -> None:
        await send(HEAD)
        async with self.pool.acquire() as connection, connection.transaction():
            cursor = await connection.cursor(ROWS, tenant, user)
            while rows := await cursor.fetch(1000):
                await chunk(send, encoder.encode_lines([Message(*row) for row in rows]))
        await send({"type": "http.response.body"})

    async def copy(self, tenant: UUID, user: UUID, send: Send) -> None:
        """csv with signs that no JSON holds: the text format would double its backslashes."""
        await send(HEAD)
        async with self.pool.acquire() as connection:
            await connection.copy_from_query(
                LINES,
                tenant,
                user,
                output=lambda data: chunk(send, data),
                format="csv",
                delimiter="\x02",
                quote="\x01",
            )
        await send({"type": "http.response.body"})

    async def batch(self, session: UUID, data: bytes, send: Send) -> None:
        new, tenant, now = decoder.decode(data).messages, self.tenants[session], datetime.now(UTC)
        async with self.pool.acquire() as connection, connection.transaction():
            before = await connection.fetchval(TAKE, tenant, session, len(new))
            items = [
                Message(uuid7(), session, before + number, one.role, one.content, now)
                for number, one in enumerate(new, 1)
            ]
            await connection.copy_records_to_table(
                "messages",
                columns=INSERTED,
                records=[(tenant, *msgspec.structs.astuple(one)) for one in items],
            )
        await answer(send, encoder.encode(Messages(items)), 201)


HEAD = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/x-ndjson")],
}


async def body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


async def chunk(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})


async def answer(send: Send, data: bytes, status: int = 200) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


app = App()
