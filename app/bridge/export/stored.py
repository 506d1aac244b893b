"""Reads the rows of people in one transaction, through a cursor: a few are in memory at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from uuid import UUID

import asyncpg
from sqlalchemy import text

from app.bridge.export.full_lines import StoredMessage, StoredSession
from app.chat.words import Seal
from app.databases.connection import TenantConnection
from app.http.errors import Conflict

# A pipe that the file is written to, or read from, may stand still for long.
NO_IDLE_TIMEOUT = text("SET LOCAL idle_in_transaction_session_timeout = 0")
ROWS = 200  # a message has 1 MiB or so at most
SESSIONS = """
SELECT s.user_id, s.id, s.title, s.message_count, s.last_position, s.version, s.metadata,
    s.external_id, s.expires_at, s.created_by, s.forked_from_session, s.forked_from_position,
    s.created_at, s.updated_at, s.sealed
FROM chat_sessions s
WHERE s.tenant_id = $1 AND s.user_id = ANY ($2::uuid[])
"""
MESSAGES = """
SELECT s.user_id, m.id, m.session_id, m.position, m.role, m.content, m.parts, m.metadata,
    m.client_id, m.client_digest, m.item_id, m.item_members, m.is_item, m.status, m.created_by,
    m.created_at, m.updated_at, m.sealed
FROM chat_sessions s JOIN messages m ON m.tenant_id = s.tenant_id AND m.session_id = s.id
WHERE s.tenant_id = $1 AND s.user_id = ANY ($2::uuid[])
"""
IN_ORDER = " ORDER BY s.created_at, s.id"
BY_SESSION = " ORDER BY s.id, m.position"
UNREADABLE = "The {} {} of user {} cannot be opened: what is stored was changed."


class StoredRows:
    """The rows of some people of a tenant, in the transaction that the connection is in.

    What is sealed comes opened. Raises Conflict for what cannot be opened.
    """

    def __init__(
        self, connection: TenantConnection, tenant_id: UUID, seals: Mapping[UUID, Seal]
    ) -> None:
        self._connection = connection
        self._seals = seals
        self._arguments = (tenant_id, list(seals))

    async def sessions(self, order: str = "") -> AsyncGenerator[list[tuple[UUID, StoredSession]]]:
        async for rows in self._rows(SESSIONS + order):
            yield [(row[0], self._session(row)) for row in rows]

    async def messages(self, order: str = "") -> AsyncGenerator[list[tuple[UUID, StoredMessage]]]:
        async for rows in self._rows(MESSAGES + order):
            yield [(row[0], self._message(row)) for row in rows]

    def _session(self, row: asyncpg.Record) -> StoredSession:
        session = StoredSession._make(row[1:-1])
        if (sealed := row["sealed"]) is None:
            return session
        said = self._seals[row["user_id"]].titled(session.id, sealed)
        if said is None:
            raise Conflict(UNREADABLE.format("conversation", session.id, row["user_id"]))
        return session._replace(title=said.title, metadata=said.metadata)

    def _message(self, row: asyncpg.Record) -> StoredMessage:
        message = StoredMessage._make(row[1:-1])
        if (sealed := row["sealed"]) is None:
            return message
        words = self._seals[row["user_id"]].words(message.session_id, message.id, sealed)
        if words is None:
            raise Conflict(UNREADABLE.format("message", message.id, row["user_id"]))
        return message._replace(
            content=words.content,
            parts=words.parts,
            metadata=words.metadata,
            item_members=words.members,
            client_digest=words.digest,
        )

    async def _rows(self, query: str) -> AsyncGenerator[list[asyncpg.Record]]:
        cursor = await self._connection.cursor(query, *self._arguments)
        while rows := await cursor.fetch(ROWS):
            yield rows
