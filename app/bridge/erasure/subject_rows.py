"""One user's rows in the general database: what an erasure reads, locks and deletes there.

Every statement names its tenant on each table, so that a sharded database runs it on one shard.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text

from app.bridge.rows import fetch_as, rows_as
from app.databases.database import Database
from app.databases.sessions import GeneralSession

# An owner who was never seen here is made, too: this row is what refuses a late first session.
CLOSE_OWNER = text("""
INSERT INTO owners (tenant_id, user_id, state, closed_at)
VALUES (:tenant_id, :user_id, 'closed', now())
ON CONFLICT (tenant_id, user_id) DO UPDATE SET state = 'closed', closed_at = excluded.closed_at
WHERE owners.state = 'open'
""")

# Conflicts with the lock that opening a session takes. A closed owner gets no new sessions, so this
# wait ends however busy the user is.
LOCK_OWNER = text("""
SELECT state FROM owners WHERE tenant_id = :tenant_id AND user_id = :user_id FOR UPDATE
""")

# Stored answers repeat what was said. Deletes as many keys as hold at most 64 KiB for each row of
# the batch, and at least one however large: an answer may be ten megabytes.
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

# Deletes by key, never more than the batch, whatever message_count says. `after` skips what earlier
# batches have deleted from the same session, whose dead index entries are still read. The LATERAL
# stays within one tenant, so within one shard.
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
SELECT count(*) AS messages, max(position) AS last_position FROM gone
""")

DELETE_SESSIONS = text("""
WITH gone AS (
    DELETE FROM chat_sessions
    WHERE tenant_id = :tenant_id AND user_id = :user_id AND id = ANY(CAST(:ids AS uuid[]))
    RETURNING 1
)
SELECT count(*) FROM gone
""")

# Runs in the transaction that deletes, so that the counts are right after any crash.
ADD_TO_COUNTS = text("""
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

    async def add_to_counts(self, *, chat_sessions: int, messages: int) -> Counts:
        """Count what this transaction deletes, and return what has been deleted in all."""
        values = self._subject | {"chat_sessions": chat_sessions, "messages": messages}
        return rows_as(await self._session.execute(ADD_TO_COUNTS, values), Counts)[0]

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
