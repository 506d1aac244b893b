"""Some users' rows in the general database: what an erasure reads, locks and deletes there.

Every statement names its tenant on each table, so that a sharded database runs it on one shard.
What changes something is a definer function (app/databases/sql/general): the login of the relay
reads ids and counts, never what was said.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import TextClause, text

from app.bridge.rows import T, fetch_as, rows_as
from app.databases.database import Database
from app.databases.sessions import GeneralSession

CLOSE_OWNERS = text("SELECT close_owners(:tenant_id, CAST(:user_ids AS uuid[]))")

# Conflicts with the lock that opening a session takes. A closed owner gets no new sessions, so this
# wait ends however busy the user is.
LOCK_OWNERS = text("""
SELECT FROM owners WHERE tenant_id = :tenant_id AND user_id = ANY (CAST(:user_ids AS uuid[]))
ORDER BY user_id FOR UPDATE
""")

# An estimate, since sessions may be opened meanwhile. It reads no more of them than :rows.
SIZES = text("""
SELECT o.user_id, (
    SELECT coalesce(sum(s.message_count + 1), 0)
    FROM (SELECT x.message_count FROM chat_sessions x
          WHERE x.tenant_id = :tenant_id AND x.user_id = o.user_id LIMIT :rows) AS s) AS rows
FROM owners o WHERE o.tenant_id = :tenant_id AND o.user_id = ANY (CAST(:user_ids AS uuid[]))
""")

ERASE_ROWS = text("""
SELECT deleted_sessions AS chat_sessions, deleted_messages AS messages, remaining,
       at_session, at_position
FROM erase_rows(:tenant_id, CAST(:user_ids AS uuid[]), :rows, :at_session, :at_position)
""")

# The functions count in the transaction that deletes, so the counts are right after any crash.
COUNTS = text("""
SELECT user_id, chat_sessions, messages
FROM owners WHERE tenant_id = :tenant_id AND user_id = ANY (CAST(:user_ids AS uuid[]))
""")

APPEND_RECEIPTS = text("""
SELECT user_id, hash, chat_sessions, messages
FROM append_receipts(:tenant_id, CAST(:user_ids AS uuid[]), CAST(:keys AS jsonb))
""")


class Size(NamedTuple):
    """Tells about how many rows a user has: messages and sessions."""

    user_id: UUID
    rows: int


class Counts(NamedTuple):
    """Counts the sessions and messages of a user that have been deleted in all."""

    user_id: UUID
    chat_sessions: int
    messages: int


class Place(NamedTuple):
    """Remembers how far a session too large for one batch has been emptied. It only saves time."""

    at_session: UUID | None = None
    at_position: int | None = None


class Batch(NamedTuple):
    """Tells what one transaction of a purge deleted, who has rows yet, and where to go on."""

    chat_sessions: int
    messages: int
    remaining: list[UUID]
    at_session: UUID | None
    at_position: int | None

    @property
    def place(self) -> Place:
        return Place(self.at_session, self.at_position)


class Receipt(NamedTuple):
    """The proof of an erasure, as the relay hands it to the user database."""

    user_id: UUID
    hash: str
    chat_sessions: int
    messages: int


class SubjectRows:
    """The rows of some users of one tenant, in one transaction there."""

    def __init__(self, session: GeneralSession, tenant_id: UUID, user_ids: Sequence[UUID]) -> None:
        self._session = session
        self._subjects = {"tenant_id": tenant_id, "user_ids": list(user_ids)}

    async def close_owners(self) -> None:
        """Refuse the users' new sessions and idempotency keys from this commit on."""
        await self._session.execute(CLOSE_OWNERS, self._subjects)

    async def lock_owners(self) -> None:
        """Wait for every transaction that opened a session or stored a key before."""
        await self._session.execute(LOCK_OWNERS, self._subjects)

    async def sizes(self, most: int) -> list[Size]:
        """Tell how many rows each has. Beyond `most` sessions the rest is not counted."""
        return await self._fetch(Size, SIZES, rows=most)

    async def erase(self, rows: int, place: Place) -> Batch:
        """Delete up to so many messages, or keys, and the sessions that are empty then."""
        (batch,) = await self._fetch(Batch, ERASE_ROWS, rows=rows, **place._asdict())
        return batch

    async def counts(self) -> list[Counts]:
        """Return what has been deleted of each in all."""
        return await self._fetch(Counts, COUNTS)

    async def _fetch(self, shape: type[T], statement: TextClause, **values: object) -> list[T]:
        return rows_as(await self._session.execute(statement, self._subjects | values), shape)


async def append_receipts(
    general: Database[GeneralSession], tenant_id: UUID, user_ids: Sequence[UUID], keys: str
) -> list[Receipt]:
    """Prove that nothing remains of each and append the receipts; none where no owner is closed.

    `keys` is what settle_erasures told of the people's keys.
    """
    values = {"tenant_id": tenant_id, "user_ids": list(user_ids), "keys": keys}
    return await fetch_as(Receipt, general, APPEND_RECEIPTS, values)
