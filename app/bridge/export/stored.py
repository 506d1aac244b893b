"""Reads the rows of people in one transaction, whose memory is that of a few rows."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from uuid import UUID

import asyncpg

from app.bridge.export.full_lines import StoredMessage, StoredSession
from app.databases.connection import TenantConnection

ROWS = 200  # a message has 1 MiB or so at most
SESSIONS = """
SELECT s.user_id, s.id, s.title, s.message_count, s.last_position, s.version, s.metadata,
    s.external_id, s.expires_at, s.created_by, s.forked_from_session, s.forked_from_position,
    s.created_at, s.updated_at
FROM chat_sessions s
WHERE s.tenant_id = $1 AND s.user_id = ANY ($2::uuid[])
"""
MESSAGES = """
SELECT s.user_id, m.id, m.session_id, m.position, m.role, m.content, m.parts, m.metadata,
    m.client_id, m.client_digest, m.item_id, m.item_members, m.is_item, m.status, m.created_by,
    m.created_at, m.updated_at
FROM chat_sessions s JOIN messages m ON m.tenant_id = s.tenant_id AND m.session_id = s.id
WHERE s.tenant_id = $1 AND s.user_id = ANY ($2::uuid[])
"""
IN_ORDER = " ORDER BY s.created_at, s.id"
BY_SESSION = " ORDER BY s.id, m.position"


class StoredRows:
    """The rows of some people of a tenant, in the transaction that the connection is in."""

    def __init__(self, connection: TenantConnection, tenant_id: UUID, users: Sequence[UUID]):
        self._connection = connection
        self._arguments = (tenant_id, users)

    async def sessions(self, order: str = "") -> AsyncGenerator[list[tuple[UUID, StoredSession]]]:
        async for rows in self._rows(SESSIONS + order):
            yield [(row[0], StoredSession(*row[1:])) for row in rows]

    async def messages(self, order: str = "") -> AsyncGenerator[list[tuple[UUID, StoredMessage]]]:
        async for rows in self._rows(MESSAGES + order):
            yield [(row[0], StoredMessage(*row[1:])) for row in rows]

    async def _rows(self, query: str) -> AsyncGenerator[list[asyncpg.Record]]:
        cursor = await self._connection.cursor(query, *self._arguments)
        while rows := await cursor.fetch(ROWS):
            yield rows
