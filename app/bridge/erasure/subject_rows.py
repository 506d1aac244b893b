"""One user's rows in the general database: what an erasure reads, locks and deletes there.

Every statement names its tenant on each table, so that a sharded database runs it on one shard.
What changes something is a definer function (app/databases/sql/general): the login of the relay
reads ids and counts, never what was said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text

from app.bridge.rows import fetch_as, rows_as
from app.databases.database import Database
from app.databases.sessions import GeneralSession

CLOSE_OWNER = text("SELECT close_owner(:tenant_id, :user_id)")

# Conflicts with the lock that opening a session takes. A closed owner gets no new sessions, so this
# wait ends however busy the user is.
LOCK_OWNER = text("""
SELECT state FROM owners WHERE tenant_id = :tenant_id AND user_id = :user_id FOR UPDATE
""")

DELETE_KEYS = text("SELECT erase_keys(:tenant_id, :user_id, :rows)")

# The next sessions, as many as hold at most the batch's rows, and at least one however large. They
# are locked so that no message is appended that the batch would not count.
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

DELETE_MESSAGES = text("""
SELECT deleted AS messages, last_position
FROM erase_messages(:tenant_id, :user_id, CAST(:ids AS uuid[]), :after, :rows)
""")
DELETE_SESSIONS = text("SELECT erase_sessions(:tenant_id, :user_id, CAST(:ids AS uuid[]))")

# The functions count in the transaction that deletes, so the counts are right after any crash.
COUNTS = text("""
SELECT chat_sessions, messages FROM owners WHERE tenant_id = :tenant_id AND user_id = :user_id
""")

ANY_LEFT = text("""
SELECT EXISTS (SELECT FROM chat_sessions WHERE tenant_id = :tenant_id AND user_id = :user_id)
OR EXISTS (SELECT FROM general_idempotency_keys
           WHERE tenant_id = :tenant_id AND user_id = :user_id)
""")

APPEND_RECEIPT = text("""
SELECT hash, chat_sessions, messages FROM append_receipt(:tenant_id, :user_id)
""")


class Counts(NamedTuple):
    """Counts the sessions and messages of the user that have been deleted in all."""

    chat_sessions: int
    messages: int


class DeletedMessages(NamedTuple):
    """Counts the messages that one statement deleted, and has the last one's position, if any."""

    messages: int
    last_position: int | None


class Receipt(NamedTuple):
    """The proof of an erasure, as the relay hands it to the user database."""

    hash: str
    chat_sessions: int
    messages: int


class SubjectRows:
    """The rows of one user, in one transaction of their tenant."""

    def __init__(self, session: GeneralSession, tenant_id: UUID, user_id: UUID) -> None:
        self._session = session
        self._subject = {"tenant_id": tenant_id, "user_id": user_id}

    async def close_owner(self) -> None:
        """Refuse the user's new sessions and idempotency keys from this commit on."""
        await self._session.execute(CLOSE_OWNER, self._subject)

    async def lock_owner(self) -> None:
        """Wait for every transaction that opened a session or stored a key before."""
        await self._session.execute(LOCK_OWNER, self._subject)

    async def delete_keys(self, rows: int) -> int:
        """Delete some of the user's idempotency keys; 0 when there are none."""
        return await self._scalar(DELETE_KEYS, rows=rows)

    async def lock_sessions(self, rows: int) -> list[UUID]:
        """Lock the next sessions whose messages fit into a batch of so many rows."""
        values = self._subject | {"rows": rows}
        return list(await self._session.scalars(LOCK_SESSIONS, values))

    async def delete_messages(self, ids: list[UUID], *, after: int, rows: int) -> DeletedMessages:
        """Delete up to `rows` messages of these sessions, past the position `after`."""
        values = self._subject | {"ids": ids, "after": after, "rows": rows}
        result = await self._session.execute(DELETE_MESSAGES, values)
        return rows_as(result, DeletedMessages)[0]

    async def delete_sessions(self, ids: list[UUID]) -> int:
        """Delete these sessions; those of another user are left alone."""
        return await self._scalar(DELETE_SESSIONS, ids=ids)

    async def counts(self) -> Counts:
        """Return what has been deleted in all, this transaction's part included."""
        return rows_as(await self._session.execute(COUNTS, self._subject), Counts)[0]

    async def any_left(self) -> bool:
        """Tell whether the user has a session or an idempotency key yet."""
        return await self._scalar(ANY_LEFT)

    async def _scalar(self, statement: Any, **values: Any) -> Any:
        return await self._session.scalar(statement, self._subject | values)


async def append_receipt(
    general: Database[GeneralSession], subject: Mapping[str, Any]
) -> Receipt | None:
    """Prove that nothing remains and append the receipt; None if there is no such owner."""
    rows = await fetch_as(Receipt, general, APPEND_RECEIPT, subject)
    return rows[0] if rows else None
