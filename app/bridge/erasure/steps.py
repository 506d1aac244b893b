"""The steps of some erasures in the general database; each may be done again at any time.

    close   ─▶ drain ─▶ purge ─▶ receipts

(a) `close` marks the owners: from its commit on no session begins and no idempotency key is stored.
(b) `drain` returns when every transaction that began one before has ended.
(c) `purge` deletes, and what it does not find is not there, because of (a) and (b).
(d) `receipts` counts once more what remains, and proves with it that nothing does.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from app.bridge.erasure.subject_rows import (
    Batch,
    Counts,
    Place,
    Receipt,
    Size,
    SubjectRows,
    append_receipts,
)
from app.databases.database import Database
from app.databases.sessions import GeneralSession

NO_KEYS = "{}"


class NoReceiptError(Exception):
    """An owner vanished between two steps: the general database was restored meanwhile."""


Observer = Callable[[Batch], Awaitable[None]]


@dataclass
class Work:
    """Erasures of one tenant's users; `observe` is called after each transaction of the purge."""

    database: Database[GeneralSession]
    tenant_id: UUID
    user_ids: Sequence[UUID]
    batch_rows: int
    observe: Observer

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[SubjectRows]:
        """Open a transaction on the users' rows, which commits on return."""
        async with self.database.session(self.tenant_id) as session:
            yield SubjectRows(session, self.tenant_id, self.user_ids)

    async def counts(self) -> list[Counts]:
        """Tell how far each erasure is."""
        async with self.transaction() as rows:
            return await rows.counts()


Step = Callable[[Work], Awaitable[None]]


@dataclass(frozen=True)
class Portion:
    """Users who are erased together: as many as have a batch of rows, or one who has more."""

    user_ids: Sequence[UUID]
    rows: int

    def singly(self) -> Iterator[Portion]:
        return (Portion([one], self.rows) for one in self.user_ids)


async def portions(work: Work) -> list[Portion]:
    """Divide the users, those with the fewest rows first, so that nobody waits for a large one."""
    async with work.transaction() as rows:
        sizes = dict(await rows.sizes(work.batch_rows + 1))
    divided: list[Portion] = []
    for one in sorted((Size(id_, sizes.get(id_, 0)) for id_ in work.user_ids), key=_by_rows):
        if divided and divided[-1].rows + one.rows <= work.batch_rows:
            last = divided.pop()
            divided.append(Portion([*last.user_ids, one.user_id], last.rows + one.rows))
        else:
            divided.append(Portion([one.user_id], one.rows))
    return divided


def _by_rows(one: Size) -> int:
    return one.rows


async def close(work: Work) -> None:
    async with work.transaction() as rows:
        await rows.close_owners()


async def drain(work: Work) -> None:
    async with work.transaction() as rows:
        await rows.lock_owners()


async def purge(work: Work) -> None:
    """Delete in short transactions until a SELECT finds nothing."""
    place, is_done = Place(), False
    while not is_done:
        async with work.transaction() as rows:
            batch = await rows.erase(work.batch_rows, place)
        place, is_done = batch.place, not batch.remaining
        await work.observe(batch)


async def receipts(work: Work, keys: str = NO_KEYS) -> list[Receipt]:
    """Append the receipts and mark the owners erased, in one statement that counts what remains."""
    appended = await append_receipts(work.database, work.tenant_id, work.user_ids, keys)
    if len(appended) < len(work.user_ids):
        raise NoReceiptError
    return appended


STEPS: Sequence[Step] = (close, drain, purge)
