"""What an erasure does in the general database, step by step; each may be done again at any time.

    close   ─▶ drain ─▶ purge ─▶ receipt

After `close` no new session begins, and no idempotency key is stored. `drain` returns when every
transaction that did so before has ended. So what `purge` does not find is not there, and `receipt`
proves it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text

from app.databases.database import Database
from app.databases.sessions import GeneralSession

# Also for an owner never seen here: the tombstone is what refuses a late first session.
CLOSE = text("""
INSERT INTO owners (tenant_id, user_id, state, closed_at)
VALUES (:tenant_id, :user_id, 'closed', now())
ON CONFLICT (tenant_id, user_id) DO UPDATE SET state = 'closed', closed_at = now()
WHERE owners.state = 'open'
""")

# Conflicts with the lock that opening a session takes. Closed before, the owner gets no new ones,
# so this wait ends however busy the user is.
DRAIN = text("""
SELECT state FROM owners WHERE tenant_id = :tenant_id AND user_id = :user_id FOR UPDATE
""")

# The next sessions, as many as hold no more rows than the batch; at least one, however large.
# Locked, so that no message is appended which the batch would not count.
LOCK_SESSIONS = text("""
WITH next AS MATERIALIZED (
    SELECT id, row_number() OVER (ORDER BY id) AS place,
           sum(message_count + 1) OVER (ORDER BY id) AS total
    FROM (SELECT id, message_count FROM chat_sessions
          WHERE tenant_id = :tenant_id AND user_id = :user_id ORDER BY id LIMIT :rows) AS oldest
)
SELECT s.id FROM chat_sessions s JOIN next ON next.id = s.id
WHERE s.tenant_id = :tenant_id AND (next.total <= :rows OR next.place = 1)
ORDER BY s.id FOR UPDATE OF s
""")

# By key, never more than the batch, whatever message_count says. `after` skips what the batches
# before have deleted from the same session: their dead index entries are still there to be read.
DELETE_MESSAGES = text("""
WITH doomed AS MATERIALIZED (
    SELECT m.id, m.position
    FROM unnest(CAST(:ids AS uuid[])) AS s (id) CROSS JOIN LATERAL (
        SELECT id, position FROM messages
        WHERE tenant_id = :tenant_id AND session_id = s.id AND position > :after
        ORDER BY position LIMIT :rows) AS m
    LIMIT :rows
), gone AS (
    DELETE FROM messages USING doomed
    WHERE messages.tenant_id = :tenant_id AND messages.id = doomed.id
    RETURNING doomed.position
)
SELECT count(*), max(position) FROM gone
""")

# Their answers repeat what was said. As many as hold no more than 64 KiB for each row of the batch;
# at least one, however large: it may be ten megabytes.
DELETE_KEYS = text("""
WITH next AS MATERIALIZED (
    SELECT key, row_number() OVER (ORDER BY key) AS place,
           sum(octet_length(answer)) OVER (ORDER BY key) AS total
    FROM (SELECT key, answer FROM general_idempotency_keys
          WHERE tenant_id = :tenant_id AND user_id = :user_id ORDER BY key LIMIT :rows) AS first
), gone AS (
    DELETE FROM general_idempotency_keys k USING next
    WHERE k.tenant_id = :tenant_id AND k.user_id = :user_id AND k.key = next.key
    AND (next.total <= :rows * 65536 OR next.place = 1)
    RETURNING 1
)
SELECT count(*) FROM gone
""")

DELETE_SESSIONS = text("""
WITH gone AS (
    DELETE FROM chat_sessions
    WHERE tenant_id = :tenant_id AND user_id = :user_id AND id = ANY(CAST(:ids AS uuid[]))
    RETURNING 1
)
SELECT count(*) FROM gone
""")

# In the batch's own transaction: after any crash the counts are those of what is gone.
COUNT = text("""
UPDATE owners
SET chat_sessions = chat_sessions + :chat_sessions, messages = messages + :messages
WHERE tenant_id = :tenant_id AND user_id = :user_id
RETURNING chat_sessions, messages
""")

ANY_LEFT = text("""
SELECT EXISTS (SELECT FROM chat_sessions WHERE tenant_id = :tenant_id AND user_id = :user_id)
OR EXISTS (SELECT FROM general_idempotency_keys
           WHERE tenant_id = :tenant_id AND user_id = :user_id)
""")

RECEIPT = text("""
SELECT hash, chat_sessions, messages FROM append_receipt(:tenant_id, :user_id)
""")


class Receipt(NamedTuple):
    hash: str
    chat_sessions: int
    messages: int


class NoReceiptError(Exception):
    """The owner vanished between two steps: the general database was restored meanwhile."""


@dataclass
class Batch:
    """One transaction of a purge: what it deleted, and what has been deleted in all."""

    chat_sessions: int
    messages: int
    all_chat_sessions: int
    all_messages: int


Observer = Callable[[Batch], Awaitable[None]]


@dataclass
class Work:
    """One user's erasure in the general database; `observe` is told after each batch."""

    database: Database[GeneralSession]
    tenant_id: UUID
    user_id: UUID
    batch_rows: int
    observe: Observer

    @property
    def subject(self) -> dict[str, Any]:
        return {"tenant_id": self.tenant_id, "user_id": self.user_id}


Step = Callable[[Work], Awaitable[None]]


async def close(work: Work) -> None:
    async with work.database.session(work.tenant_id) as session:
        await session.execute(CLOSE, work.subject)


async def drain(work: Work) -> None:
    async with work.database.session(work.tenant_id) as session:
        await session.execute(DRAIN, work.subject)


async def purge(work: Work) -> None:
    """In short transactions, until a SELECT finds none: a DELETE that finds none proves nothing."""
    is_done, cursor = False, Cursor()
    while not is_done:
        async with work.database.session(work.tenant_id) as session:
            batch = await _next(session, work, cursor)
            # Nothing to delete may only mean that another relay is deleting it.
            may_be_done = batch is None or batch.chat_sessions > 0
            is_done = may_be_done and not await session.scalar(ANY_LEFT, work.subject)
        if batch:
            await work.observe(batch)


async def receipt(work: Work) -> Receipt:
    """One statement: count, prove that nothing remains, append, 'erased'."""
    async with work.database.one_statement() as connection:
        row = (await connection.execute(RECEIPT, work.subject)).one_or_none()
    if row is None:
        raise NoReceiptError
    return Receipt(*row)


STEPS: Sequence[Step] = (close, drain, purge)


@dataclass
class Cursor:
    """How far a session too large for one batch has been emptied. Only saves time."""

    session_id: UUID | None = None
    position: int = 0


async def _next(session: GeneralSession, work: Work, cursor: Cursor) -> Batch | None:
    """Keys first: a session would take all of its own along at once."""
    values = work.subject | _rows(work)
    if await session.scalar(DELETE_KEYS, values):
        return await _counted(session, work, chat_sessions=0, messages=0)
    ids = list(await session.scalars(LOCK_SESSIONS, values))
    return await _delete(session, work, ids, cursor) if ids else None


async def _delete(session: GeneralSession, work: Work, ids: list[UUID], cursor: Cursor) -> Batch:
    """The sessions themselves go once a look from the start has found them empty."""
    after = cursor.position if ids == [cursor.session_id] else 0
    values = work.subject | _rows(work) | {"ids": ids, "after": after}
    messages, last = (await session.execute(DELETE_MESSAGES, values)).one()
    is_full = messages == work.batch_rows
    cursor.session_id, cursor.position = (ids[0], last) if is_full and len(ids) == 1 else (None, 0)
    is_empty = not is_full and after == 0
    sessions = await session.scalar(DELETE_SESSIONS, values) if is_empty else 0
    return await _counted(session, work, chat_sessions=sessions, messages=messages)


async def _counted(
    session: GeneralSession, work: Work, *, chat_sessions: int, messages: int
) -> Batch:
    counts = {"chat_sessions": chat_sessions, "messages": messages}
    total = (await session.execute(COUNT, work.subject | counts)).one()
    return Batch(chat_sessions, messages, *total)


def _rows(work: Work) -> dict[str, int]:
    return {"rows": work.batch_rows}
