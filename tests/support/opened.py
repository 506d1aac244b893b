"""Read what is stored, as a superuser: plain rows as they are, sealed ones opened."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import asyncpg

from app.chat.words import Seal
from app.databases.sealing.master_keys import KeyUnavailableError, MasterKeys, WrappedKey
from tests.support.sealing import master_key

KEYS = "SELECT tenant_id, user_id, id, master_id, wrapped FROM wrapped_keys"
SESSIONS = """
SELECT tenant_id, user_id, id, title, metadata, sealed, message_count FROM chat_sessions
"""
MESSAGES = """
SELECT m.tenant_id, s.user_id, m.session_id, m.id, m.position, m.content, m.parts, m.metadata,
    m.item_members, m.client_digest, m.sealed, m.status
FROM messages m LEFT JOIN chat_sessions s ON (s.tenant_id, s.id) = (m.tenant_id, m.session_id)
"""
IN_ORDER = " ORDER BY m.session_id, m.position"
UNREADABLE = "(this cannot be read)"


class Opener:
    """Opens whatever people said, with their keys as the user database has them."""

    def __init__(self, keys: dict[tuple[UUID, UUID], WrappedKey]) -> None:
        self._keys = keys
        ids = {key.master_id for key in keys.values()}
        self._master_keys = MasterKeys({one: master_key(one) for one in ids})

    @classmethod
    async def of(cls, user: asyncpg.Connection[Any]) -> Opener:
        rows = await user.fetch(KEYS)
        return cls({(row[0], row[1]): WrappedKey(row[2], row[3], row[4]) for row in rows})

    async def messages(
        self, general: asyncpg.Connection[Any], session_id: str | None = None
    ) -> list[Any]:
        """List a conversation's messages, or all, by position; `content` is what was said."""
        of_one = " WHERE m.session_id = $1" if session_id else ""
        values = [session_id] if session_id else []
        rows = await general.fetch(MESSAGES + of_one + IN_ORDER, *values)
        return [self._message(SimpleNamespace(**row)) for row in rows]

    async def sessions(self, general: asyncpg.Connection[Any]) -> list[Any]:
        """List all sessions; `title` is what it was called."""
        return [self._session(SimpleNamespace(**row)) for row in await general.fetch(SESSIONS)]

    async def session(self, general: asyncpg.Connection[Any], session_id: str) -> Any:
        row = await general.fetchrow(f"{SESSIONS} WHERE id = $1", session_id)
        assert row is not None
        return self._session(SimpleNamespace(**row))

    def _message(self, row: Any) -> Any:
        try:
            words = self._seal(row).words_of(row.session_id, row)
        except KeyUnavailableError:
            words = None
        row.content = UNREADABLE if words is None else words.content
        row.parts = words and words.parts
        return row

    def _session(self, row: Any) -> Any:
        try:
            titled = self._seal(row).titled_of(row)
        except KeyUnavailableError:
            titled = None
        row.title = UNREADABLE if titled is None else titled.title
        return row

    def _seal(self, row: Any) -> Seal:
        wrapped = self._keys.get((row.tenant_id, row.user_id))
        if wrapped is None:
            return Seal(row.tenant_id, None, is_sealing=False)
        key = self._master_keys.person_key(wrapped, row.tenant_id, row.user_id)
        return Seal(row.tenant_id, key, is_sealing=False)
