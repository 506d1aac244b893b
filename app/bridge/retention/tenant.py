"""One tenant's conversations that were kept long enough: counted, or deleted in batches."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text

from app.bridge.rows import fetch_as, fetch_value, rows_as
from app.databases.database import Databases

POLICY = text("SELECT retention_policy(:tenant)")
OVERDUE = text("SELECT chat_sessions, messages, cutoff FROM overdue(:tenant, :days)")
SWEEP = text("""
SELECT taken, sessions AS chat_sessions, messages, last_position
FROM sweep_rows(:tenant, :days, :rows, CAST(:begun AS uuid[]), :passed)
""")
RECEIVE = text("SELECT hash FROM receive_retention(:tenant, :days) AS hash")


class Overdue(NamedTuple):
    """The next sweep deletes so many; sessions changed last before `cutoff` were kept enough."""

    chat_sessions: int
    messages: int
    cutoff: datetime


class Swept(NamedTuple):
    """Counts what a sweep deleted."""

    chat_sessions: int
    messages: int

    def and_also(self, other: Swept) -> Swept:
        return Swept(self.chat_sessions + other.chat_sessions, self.messages + other.messages)


class Batch(NamedTuple):
    """One call's share: the sessions it works on, None if there are none, and what it deleted; of
    the only one, up to that position.
    """

    taken: list[UUID] | None
    chat_sessions: int
    messages: int
    last_position: int | None


class Hash(NamedTuple):
    """The hash of a receipt."""

    hash: str


class TenantRows:
    """The rows of one tenant. The policy is the user database's, the rows are the general one's."""

    def __init__(self, databases: Databases, tenant_id: UUID) -> None:
        self._user = databases.user
        self._general = databases.general
        self._tenant_id = tenant_id

    async def policy(self) -> int | None:
        """Return the days that are kept; None without a policy, and without a tenant."""
        return await fetch_value(self._user, POLICY, {"tenant": self._tenant_id})

    async def overdue(self, days: int | None) -> Overdue:
        return (await fetch_as(Overdue, self._general, OVERDUE, self._of(days)))[0]

    async def sweep(self, days: int | None, rows: int) -> Swept | None:
        """Delete the next sessions in a transaction; None when there are none.

        A session goes whole or stays whole. So one with more messages than a batch holds takes
        more statements, each as large as a batch, and one transaction all the same.
        """
        messages, begun, passed = 0, None, 0
        async with self._general.session(self._tenant_id) as session:
            while True:
                values = self._of(days) | {"rows": rows, "begun": begun, "passed": passed}
                batch = rows_as(await session.execute(SWEEP, values), Batch)[0]
                messages += batch.messages
                if not batch.taken or not any((batch.chat_sessions, batch.messages)):
                    return None
                if batch.chat_sessions:
                    return Swept(batch.chat_sessions, messages)
                begun, passed = batch.taken, batch.last_position or 0

    async def receive(self, days: int | None) -> list[str]:
        """Turn the tallies that are complete into receipts, and return their hashes."""
        return [row.hash for row in await fetch_as(Hash, self._general, RECEIVE, self._of(days))]

    def _of(self, days: int | None) -> dict[str, Any]:
        return {"tenant": self._tenant_id, "days": days}
