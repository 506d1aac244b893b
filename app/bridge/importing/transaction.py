"""Stores rows of people in one transaction of their tenant, and reads them again before its COMMIT.

The service's login writes, under row level security, where PostgreSQL refuses COPY FROM.
Rows come as arrays, a statement for thousands. They are selected together with a row that names the
tenant, since a sharded database (Citus) takes no INSERT … SELECT from what is no table.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from app.bridge.export.full_lines import StoredMessage, StoredSession
from app.bridge.export.stored import NO_IDLE_TIMEOUT
from app.bridge.importing.digests import Stored, Sum
from app.bridge.importing.people import ROWS, Piece
from app.bridge.sealing.seals import Seals
from app.bridge.sealing.writers import BEFORE_ASKING
from app.chat import metadata
from app.chat.words import Seal, Words
from app.databases.connection import TenantConnection
from app.databases.database import Database
from app.databases.sessions import GeneralSession, driver_of

OWNERS = """
SELECT o.user_id, o.state FROM owners o
WHERE o.tenant_id = $1 AND o.user_id = ANY ($2::uuid[]) FOR KEY SHARE
"""
MAKE_OWNER = "INSERT INTO owners (tenant_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING"
WITH_ROWS = """
SELECT s.user_id FROM chat_sessions s
WHERE s.tenant_id = $1 AND s.user_id = ANY ($2::uuid[]) GROUP BY s.user_id
"""
# The tags' type has no array of arrays, so each row's come as text.
ADD_SESSIONS = """
INSERT INTO chat_sessions (
    tenant_id, id, user_id, title, message_count, last_position, version, metadata, metadata_tags,
    external_id, expires_at, created_by, forked_from_session, forked_from_position, created_at,
    updated_at, changed_minute, sealed)
SELECT o.tenant_id, new.id, o.user_id, new.title, new.message_count, new.last_position, new.version,
    new.metadata, new.metadata_tags::bytea[], new.external_id, new.expires_at, new.created_by,
    new.forked_from_session, new.forked_from_position, new.created_at, new.updated_at,
    date_trunc('minute', new.updated_at), new.sealed
FROM owners o CROSS JOIN unnest(
    $2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[],
    $9::text[], $10::timestamptz[], $11::uuid[], $12::uuid[], $13::bigint[], $14::timestamptz[],
    $15::timestamptz[], $16::text[], $17::bytea[]
) AS new (
    user_id, id, title, message_count, last_position, version, metadata, external_id, expires_at,
    created_by, forked_from_session, forked_from_position, created_at, updated_at, metadata_tags,
    sealed)
WHERE o.tenant_id = $1 AND o.user_id = new.user_id AND o.state = 'open'
"""
ADD_MESSAGES = """
INSERT INTO messages (
    tenant_id, id, session_id, position, role, content, parts, metadata, client_id, client_digest,
    item_id, item_members, is_item, status, created_by, created_at, updated_at, sealed, sealed_size)
SELECT s.tenant_id, new.id, s.id, new.position, new.role, new.content, new.parts, new.metadata,
    new.client_id, new.client_digest, new.item_id, new.item_members, new.is_item, new.status,
    new.created_by, new.created_at, new.updated_at, new.sealed, new.sealed_size
FROM chat_sessions s CROSS JOIN unnest(
    $2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::text[], $10::bytea[], $11::text[], $12::text[], $13::boolean[], $14::text[], $15::uuid[],
    $16::timestamptz[], $17::timestamptz[], $18::bytea[], $19::integer[]
) AS new (
    id, session_id, position, role, content, parts, metadata, client_id, client_digest, item_id,
    item_members, is_item, status, created_by, created_at, updated_at, sealed, sealed_size)
WHERE s.tenant_id = $1 AND s.id = new.session_id
"""
# A server that has no statistics yet looks each message's conversation up by an index in which it
# reads all of the tenant's, and keeps to that plan. It chooses better once the table has grown.
PLAN_ANEW = "DISCARD PLANS"
STILL_OPEN = """
SELECT count(*) FROM owners o
WHERE o.tenant_id = $1 AND o.user_id = ANY ($2::uuid[]) AND o.state = 'open'
"""
RECORD_KEY = "SELECT check_write_under($1, $2, $3, NULL)"
PLAIN = ((), ())  # the last columns, of rows that are not sealed
CLOSED = "is being erased here, or was, and is not brought back"


class RefusedError(Exception):
    """Somebody is not imported; the words say why."""


class Transaction:
    """The rows of some people of a tenant, committed when `of` is left without an error."""

    def __init__(
        self, connection: TenantConnection, tenant_id: UUID, seals: Mapping[UUID, Seal]
    ) -> None:
        self._connection = connection
        self._tenant_id = tenant_id
        self._seals = seals
        self._users = list(seals)
        self._is_sealing = any(seal.key for seal in seals.values())
        self._owners = set[UUID]()
        self._sealed = set[UUID]()

    @classmethod
    @asynccontextmanager
    async def of(
        cls,
        general: Database[GeneralSession],
        seals: Seals,
        tenant_id: UUID,
        users: Sequence[UUID],
    ) -> AsyncGenerator[Transaction]:
        """Raises RefusedError at the end, and nothing is stored, where an owner was closed.

        It asks whether rows are sealed when it has begun. If they are to be soon, or no longer,
        `litestar keys` waits for its end, and converts what it has stored.
        """
        async with general.session(tenant_id) as session:
            await session.execute(NO_IDLE_TIMEOUT)
            await session.execute(BEFORE_ASKING)
            await seals.look()
            theirs = {one: await seals.writing(tenant_id, one) for one in users}
            transaction = cls(await driver_of(session), tenant_id, theirs)
            yield transaction
            await transaction.record_keys()
            await transaction.check_open()

    async def lock_owners(self) -> None:
        """Hold them to COMMIT. Raises RefusedError for one who is closed.

        An erasure closes an owner whenever it likes, and waits for such locks before it deletes.
        """
        rows = await self._connection.fetch(OWNERS, self._tenant_id, self._users)
        if any(row["state"] != "open" for row in rows):
            raise RefusedError(CLOSED)
        self._owners = {row["user_id"] for row in rows}

    async def record_keys(self) -> None:
        """Note with each owner the key that their rows are sealed under, as every write does."""
        for user_id in self._sealed:
            key_id = self._seals[user_id].key_id
            await self._connection.execute(RECORD_KEY, self._tenant_id, user_id, key_id)

    async def check_open(self) -> None:
        """Raises RefusedError where one was closed meanwhile. It is any write's last act."""
        owners = list(self._owners)
        rows = await self._connection.fetchval(STILL_OPEN, self._tenant_id, owners)
        if rows != len(owners):
            raise RefusedError(CLOSED)

    async def with_rows(self) -> set[UUID]:
        """Return those of the people who have conversations here."""
        rows = await self._connection.fetch(WITH_ROWS, self._tenant_id, self._users)
        return {row["user_id"] for row in rows}

    async def add_all(self, pieces: Iterable[tuple[UUID, Piece]]) -> None:
        """Store the rows, each piece of the person named with it.

        The next pieces are read while the server stores those before them.
        """
        storing: asyncio.Task[None] | None = None
        for batch in _batches(pieces):
            if storing is not None:
                await storing
            storing = asyncio.create_task(self._add(batch))
            await asyncio.sleep(0)  # so that it is sent
        if storing is not None:
            await storing

    async def _add(self, pieces: Sequence[tuple[UUID, Piece]]) -> None:
        sessions = [
            self._session(user_id, row) for user_id, piece in pieces for row in piece.sessions
        ]
        messages = [row for user_id, piece in pieces for row in self._messages(user_id, piece)]
        if sessions:
            await self._make_owners({row[0] for row in sessions})
            await self._insert(ADD_SESSIONS, zip(*sessions, strict=True), len(sessions))
            await self._connection.execute(PLAN_ANEW)
        if messages:
            columns = (*zip(*messages, strict=True), *(() if self._is_sealing else PLAIN))
            await self._insert(ADD_MESSAGES, columns, len(messages))

    def _session(self, user_id: UUID, row: StoredSession) -> tuple[Any, ...]:
        seal = self._seals[user_id]
        if seal.key_id:
            self._sealed.add(user_id)
        pairs = metadata.shown(row.metadata)
        said = seal.titled_columns(row.id, row.title, pairs)
        row = row._replace(title=said.title, metadata=said.metadata)
        return (user_id, *row, _array(said.tags), said.sealed)

    def _messages(self, user_id: UUID, piece: Piece) -> Iterable[tuple[Any, ...]]:
        if not self._is_sealing:
            return piece.messages
        return (self._message(self._seals[user_id], row) for row in piece.messages)

    def _message(self, seal: Seal, row: StoredMessage) -> tuple[Any, ...]:
        words = Words(row.content, row.parts, row.metadata, row.item_members, row.client_digest)
        said = seal.columns(row.session_id, row.id, words)
        row = row._replace(
            content=said.content,
            parts=said.parts,
            metadata=said.metadata,
            item_members=said.members,
            client_digest=said.digest,
        )
        return (*row, said.sealed, said.size)

    async def _make_owners(self, users: set[UUID]) -> None:
        unseen = [(self._tenant_id, one) for one in users - self._owners]
        if unseen:
            await self._connection.executemany(MAKE_OWNER, unseen)
        self._owners |= users

    async def _insert(self, statement: str, columns: Iterable[Sequence[Any]], rows: int) -> None:
        short = (_short(column) for column in columns)
        done = await self._connection.execute(statement, self._tenant_id, *short)
        if done != f"INSERT 0 {rows}":
            raise RefusedError(CLOSED)  # since `lock_owners`, or with a session that went

    async def differing(self, sums: Mapping[UUID, Sum]) -> set[UUID]:
        """Tell whose rows, as they are stored now, are not those of the file."""
        stored = Stored(self._connection, self._tenant_id, self._seals)
        return await stored.differing(sums)


def _batches(pieces: Iterable[tuple[UUID, Piece]]) -> Iterator[list[tuple[UUID, Piece]]]:
    """Put small people's pieces together, for one statement."""
    batch, rows = list[tuple[UUID, Piece]](), 0
    for whose, piece in pieces:
        batch.append((whose, piece))
        rows += piece.rows
        if rows >= ROWS:
            yield batch
            batch, rows = [], 0
    yield batch


def _short(column: Sequence[Any]) -> Sequence[Any]:
    """Send nothing of a column that is NULL in every row: `unnest` fills up what is shorter."""
    return () if column.count(None) == len(column) else column


def _array(tags: Sequence[bytes] | None) -> str | None:
    """Write PostgreSQL's text of an array of bytes."""
    return "{" + ",".join(f'"\\\\x{tag.hex()}"' for tag in tags) + "}" if tags else None
