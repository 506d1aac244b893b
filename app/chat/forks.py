"""A session is copied with its messages: by one statement, or by the service, where there is a key.

What is sealed can be opened at its own place only, so each message of a copy is sealed anew under
its new id, page by page, in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from uuid_utils.compat import uuid7

from app.chat import metadata, schemas
from app.chat.fetching import Fetch
from app.chat.session_rows import SessionRow, sessions_of
from app.chat.sessions import FIND, OPEN, calling
from app.chat.words import Seal, Words, cannot_read
from app.databases.causes import TOO_MUCH_TO_FORK
from app.databases.statement import Statement
from app.http.errors import NotFound, PayloadTooLarge
from app.http.problems import REFUSALS
from app.http.security import Principal

MOST_MESSAGES = 10_000
MOST_BYTES = 64 << 20
PAGE_ROWS = 500
PAGE_BYTES = 4 << 20

COPY = ("up_to", "fork", "created_by", "most_messages", "most_bytes", "not_after")
_CALL = calling("fork_session", *COPY).clause.text.removeprefix("SELECT *")
FORK = Statement(text(f"SELECT *, CAST(NULL AS bytea) AS sealed{_CALL}"))
LOCK = calling("lock_fork", "up_to", "most_messages")
PAGE = Statement(
    text(
        "SELECT * FROM stored_messages(:tenant_id, :session_id, :after, :last, NULL, :rows, :bytes)"
    )
)
STORE = Statement(
    text("""
INSERT INTO messages (
    tenant_id, id, session_id, position, role, content, parts, metadata, client_id, client_digest,
    item_id, item_members, is_item, status, created_by, created_at, updated_at, sealed, sealed_size)
SELECT s.tenant_id, new.id, s.id, new.position, new.role, new.content, new.parts, new.metadata,
    new.client_id, new.digest, new.item_id, new.members, new.is_item, new.status, new.created_by,
    new.created_at, new.updated_at, new.sealed, new.size
FROM chat_sessions s
CROSS JOIN unnest(
    CAST(:id AS uuid[]), CAST(:position AS bigint[]), CAST(:role AS text[]),
    CAST(:client_id AS text[]), CAST(:item_id AS text[]), CAST(:is_item AS boolean[]),
    CAST(:status AS text[]), CAST(:created_by AS uuid[]), CAST(:created_at AS timestamptz[]),
    CAST(:updated_at AS timestamptz[]), CAST(:content AS text[]), CAST(:parts AS text[]),
    CAST(:metadata AS text[]), CAST(:members AS text[]), CAST(:digest AS bytea[]),
    CAST(:sealed AS bytea[]), CAST(:size AS integer[])
) AS new (
    id, position, role, client_id, item_id, is_item, status, created_by, created_at, updated_at,
    content, parts, metadata, members, digest, sealed, size)
WHERE s.tenant_id = :tenant_id AND s.id = :fork
RETURNING position
""")
)
FINISH = Statement(
    text("""
UPDATE chat_sessions SET message_count = CAST(:messages AS bigint),
    last_position = nullif(CAST(:last AS bigint), CAST(:messages AS bigint)),
    forked_from_session = CAST(:session_id AS uuid), forked_from_position = CAST(:last AS bigint)
WHERE tenant_id = :tenant_id AND id = :fork
RETURNING id
""")
)
PLAIN = ("position", "role", "client_id", "item_id", "is_item", "status", "created_by")
PLAIN_TIMES = ("created_at", "updated_at")


class Fork:
    """One copy of a session, up to a position or whole. Raises NotFound for another's."""

    def __init__(
        self, owner: Principal, session_id: UUID, position: int | None, seal: Seal
    ) -> None:
        self._owner = owner
        self._session_id = session_id
        self._seal = seal
        self._id = uuid7()
        self._values: dict[str, Any] = owner.whose | {
            "session_id": session_id,
            "up_to": position,
            "created_by": owner.key_id,
            "most_messages": MOST_MESSAGES,
            "most_bytes": MOST_BYTES,
            "fork": self._id,
        }

    async def copy(self, fetch: Fetch) -> schemas.ChatSession:
        """Copy what is plain by one statement, which refuses what is sealed."""
        forks = sessions_of(await fetch(FORK, self._values), self._seal)
        if not forks:
            raise NotFound
        return forks[0].to(schemas.ChatSession)

    async def reseal(self, fetch: Fetch) -> schemas.ChatSession:
        """Copy in a transaction. Raises Conflict for what cannot be read, PayloadTooLarge."""
        locked = await fetch(LOCK, self._values)
        if not locked:
            raise NotFound
        last, messages = locked[0]
        await self._open(await self._session(fetch, self._session_id), fetch)
        await self._copy_messages(fetch, last)
        await fetch(FINISH, self._values | {"last": last, "messages": messages})
        return (await self._session(fetch, self._id)).to(schemas.ChatSession)

    async def _session(self, fetch: Fetch, session_id: UUID) -> SessionRow:
        rows = await fetch(FIND, self._owner.whose | {"session_id": session_id})
        return sessions_of(rows, self._seal)[0]

    async def _open(self, source: SessionRow, fetch: Fetch) -> None:
        if source.title is None:
            raise cannot_read()
        pairs = metadata.shown(source.metadata)
        columns = self._seal.titled_columns(self._id, source.title, pairs)
        new = {"session_id": self._id, "seal_key": self._seal.key_id, **columns._asdict()}
        await fetch(OPEN, self._values | {"external_id": None, "expires_at": None} | new)

    async def _copy_messages(self, fetch: Fetch, last: int) -> None:
        copied, after = 0, 0
        place = self._values | {"last": last, "rows": PAGE_ROWS, "bytes": PAGE_BYTES}
        while rows := await fetch(PAGE, place | {"after": after}):
            words = [self._words(row) for row in rows]
            copied += sum(map(_size, words))
            if copied > MOST_BYTES:
                raise PayloadTooLarge(str(REFUSALS[TOO_MUCH_TO_FORK]))
            await fetch(STORE, self._values | self._columns(rows, words))
            after = rows[-1].position

    def _words(self, row: Any) -> Words:
        words = self._seal.words_of(self._session_id, row)
        if words is None:
            raise cannot_read()
        return words

    def _columns(self, rows: Sequence[Any], words: Sequence[Words]) -> dict[str, list[Any]]:
        ids = [uuid7() for _ in rows]
        sealed = [
            self._seal.columns(self._id, id_, said) for id_, said in zip(ids, words, strict=True)
        ]
        plain = {name: [getattr(row, name) for row in rows] for name in PLAIN + PLAIN_TIMES}
        names = sealed[0]._fields
        return (
            {"id": ids}
            | plain
            | dict(zip(names, map(list, zip(*sealed, strict=True)), strict=True))
        )


def _size(words: Words) -> int:
    """Count what fork_session counts: the text as it is stored."""
    said = words.content if words.parts is None else words.parts
    others = (one for one in (words.metadata, words.members) if one)
    return len(said.encode()) + sum(len(one.encode()) for one in others)
