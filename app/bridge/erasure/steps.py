"""An erasure's steps in the general database; each may be done again at any time.

    close   ─▶ drain ─▶ purge ─▶ receipt

(a) `close` marks the owner: from its commit on no session begins and no idempotency key is stored.
(b) `drain` returns when every transaction that began one before has ended.
(c) `purge` deletes, and what it does not find is not there, because of (a) and (b).
(d) `receipt` counts once more what remains, and proves with it that nothing does.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from app.bridge.erasure.subject_rows import Counts, Receipt, SubjectRows, append_receipt
from app.databases.database import Database
from app.databases.sessions import GeneralSession


class NoReceiptError(Exception):
    """The owner vanished between two steps: the general database was restored meanwhile."""


@dataclass
class Batch:
    """One transaction of a purge: what it deleted, and what has been deleted in all."""

    chat_sessions: int
    messages: int
    total: Counts


Observer = Callable[[Batch], Awaitable[None]]


@dataclass
class Work:
    """One user's erasure in the general database; `observe` is called after each batch."""

    database: Database[GeneralSession]
    tenant_id: UUID
    user_id: UUID
    batch_rows: int
    observe: Observer

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[SubjectRows]:
        """Open a transaction on the user's rows, which commits on return."""
        async with self.database.session(self.tenant_id) as session:
            yield SubjectRows(session, self.tenant_id, self.user_id)


Step = Callable[[Work], Awaitable[None]]


async def close(work: Work) -> None:
    async with work.transaction() as rows:
        await rows.close_owner()


async def drain(work: Work) -> None:
    async with work.transaction() as rows:
        await rows.lock_owner()


async def purge(work: Work) -> None:
    """Delete in short transactions until a SELECT finds nothing.

    A DELETE that finds nothing would prove nothing: another relay may be deleting the same rows.
    """
    is_done, cursor = False, Cursor()
    while not is_done:
        async with work.transaction() as rows:
            batch = await _next_batch(rows, work.batch_rows, cursor)
            may_be_done = batch is None or batch.chat_sessions > 0
            is_done = may_be_done and not await rows.any_left()
        if batch:
            await work.observe(batch)


async def receipt(work: Work) -> Receipt:
    """Append the receipt and mark the owner erased, in one statement that counts what remains."""
    subject = {"tenant_id": work.tenant_id, "user_id": work.user_id}
    appended = await append_receipt(work.database, subject)
    if appended is None:
        raise NoReceiptError
    return appended


STEPS: Sequence[Step] = (close, drain, purge)


@dataclass
class Cursor:
    """Remembers how far a session too large for one batch has been emptied. It only saves time."""

    session_id: UUID | None = None
    position: int = 0


async def _next_batch(rows: SubjectRows, size: int, cursor: Cursor) -> Batch | None:
    """Delete the next rows; None when there are none. Keys go first: deleting a session would
    delete all of its keys at once.
    """
    if await rows.delete_keys(size):
        return await _counted(rows, chat_sessions=0, messages=0)
    ids = await rows.lock_sessions(size)
    return await _delete(rows, size, ids, cursor) if ids else None


async def _delete(rows: SubjectRows, size: int, ids: list[UUID], cursor: Cursor) -> Batch:
    """Delete messages; and the sessions, once a look from their start has found them empty."""
    after = cursor.position if ids == [cursor.session_id] else 0
    deleted, last = await rows.delete_messages(ids, after=after, rows=size)
    is_full = deleted == size
    cursor.session_id, cursor.position = None, 0
    if is_full and len(ids) == 1 and last is not None:
        cursor.session_id, cursor.position = ids[0], last
    is_empty = not is_full and after == 0
    sessions = await rows.delete_sessions(ids) if is_empty else 0
    return await _counted(rows, chat_sessions=sessions, messages=deleted)


async def _counted(rows: SubjectRows, *, chat_sessions: int, messages: int) -> Batch:
    return Batch(chat_sessions, messages, await rows.counts())
