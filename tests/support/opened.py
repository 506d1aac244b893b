"""Read what is stored, as a superuser: plain rows as they are, sealed ones opened."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import asyncpg

from app.chat.words import Seal, Titled, Words
from app.databases.sealing.master_keys import KeyUnavailableError, MasterKeys, WrappedKey
from tests.support.logins import superuser
from tests.support.sealing import master_key
from tests.support.servers import Servers

KEYS = "SELECT tenant_id, user_id, id, master_id, wrapped FROM wrapped_keys"
SESSIONS = "SELECT * FROM chat_sessions"
MESSAGES = """
SELECT m.*, s.user_id FROM messages m
LEFT JOIN chat_sessions s ON (s.tenant_id, s.id) = (m.tenant_id, m.session_id)
"""
REWRITE = """
UPDATE messages SET content = $2, parts = $3, metadata = $4, item_members = $5, client_digest = $6,
    sealed = $7, sealed_size = $8
WHERE id = $1
"""
IN_ORDER = " ORDER BY m.session_id, m.position"
UNREADABLE = "(this cannot be read)"


class Opener:
    """Opens whatever people said, with their keys as the user database has them."""

    def __init__(
        self, general: asyncpg.Connection[Any], keys: dict[tuple[UUID, UUID], WrappedKey]
    ) -> None:
        self.general = general
        self._keys = keys
        ids = {key.master_id for key in keys.values()}
        self._master_keys = MasterKeys({one: master_key(one) for one in ids})

    @classmethod
    async def of(cls, user: asyncpg.Connection[Any], general: asyncpg.Connection[Any]) -> Opener:
        rows = await user.fetch(KEYS)
        return cls(general, {(row[0], row[1]): WrappedKey(row[2], row[3], row[4]) for row in rows})

    async def messages(self, session_id: str | None = None) -> list[Any]:
        """List a conversation's messages, or all, by position; `content` is what was said."""
        of_one = " WHERE m.session_id = $1" if session_id else ""
        values = [session_id] if session_id else []
        rows = await self.general.fetch(MESSAGES + of_one + IN_ORDER, *values)
        return [self._message(SimpleNamespace(**row)) for row in rows]

    async def sessions(self) -> list[Any]:
        """List all sessions; `title` is what it was called."""
        return [self._session(SimpleNamespace(**row)) for row in await self.general.fetch(SESSIONS)]

    async def session(self, session_id: str) -> Any:
        row = await self.general.fetchrow(f"{SESSIONS} WHERE id = $1", session_id)
        assert row is not None
        return self._session(SimpleNamespace(**row))

    def _message(self, row: Any) -> Any:
        try:
            words = self._seal(row).words_of(row.session_id, row)
        except KeyUnavailableError:
            words = None
        words = words or Words(UNREADABLE)
        row.content, row.parts = words.content, words.parts
        row.metadata, row.item_members = words.metadata, words.members
        return row

    async def rewrite(self, row: Any, words: Words) -> None:
        """Let a message say this, sealed if it is."""
        seal = self._seal(row).always() if row.sealed else self._seal(row)
        columns = seal.columns(row.session_id, row.id, words)
        await self.general.execute(REWRITE, row.id, *columns)

    def _session(self, row: Any) -> Any:
        try:
            titled = self._seal(row).titled_of(row)
        except KeyUnavailableError:
            titled = None
        titled = titled or Titled(UNREADABLE, None)
        row.title, row.metadata = titled.title, titled.metadata
        return row

    def _seal(self, row: Any) -> Seal:
        wrapped = self._keys.get((row.tenant_id, row.user_id))
        if wrapped is None:
            return Seal(row.tenant_id, None, is_sealing=False)
        key = self._master_keys.person_key(wrapped, row.tenant_id, row.user_id)
        return Seal(row.tenant_id, key, is_sealing=False)


@asynccontextmanager
async def opened(servers: Servers, database: str) -> AsyncGenerator[Opener]:
    async with (
        superuser(servers.user.url(database)) as user,
        superuser(servers.general.url(database)) as general,
    ):
        yield await Opener.of(user, general)
