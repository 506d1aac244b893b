"""The relay's side of the user database: which erasures are pending, and who holds which.

    pending ──claim──▶ held ──acknowledge──▶ complete
       ▲                │
       └── postpone, release, lease over ────┘

Each transition is one definer function (app/databases/sql/user) in one statement that commits by
itself, so no transaction is held here while the other database is worked on.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text

from app.bridge.erasure.subject_rows import Counts, Receipt
from app.bridge.rows import fetch_as, fetch_value
from app.config.settings import Settings
from app.databases.database import Database
from app.databases.sessions import UserSession

CLAIM = text("""
SELECT tenant_id, user_id, rev, lease_until FROM claim_erasures(:lease, :most, :newest)
""")
RENEW = text("""
SELECT user_id, lease_until FROM renew_erasures(
    :tenant_id, CAST(:user_ids AS uuid[]), CAST(:revs AS bigint[]), :held_until, :lease,
    CAST(:chat_sessions AS bigint[]), CAST(:messages AS bigint[]))
""")
ACKNOWLEDGE = text("""
SELECT user_id FROM acknowledge_erasures(
    :tenant_id, CAST(:user_ids AS uuid[]), CAST(:revs AS bigint[]), :held_until,
    CAST(:hashes AS varchar[]), CAST(:chat_sessions AS bigint[]), CAST(:messages AS bigint[])
) AS user_id
""")
SETTLE = text("""
SELECT CAST(settle_erasures(:tenant_id, CAST(:user_ids AS uuid[])) AS text)
""")
POSTPONE = text("""
SELECT postpone_erasure(:tenant_id, :user_id, :rev, :held_until, :error, :first, :longest)
""")
RELEASE = text("""
SELECT release_erasures(
    :tenant_id, CAST(:user_ids AS uuid[]), CAST(:revs AS bigint[]), :held_until, :error)
""")
BACKLOG = text("SELECT * FROM erasure_backlog()")


class LeaseLostError(Exception):
    """Another relay has taken erasures over; it will finish them."""


class Claimed(NamedTuple):
    """A row that was claimed."""

    tenant_id: UUID
    user_id: UUID
    rev: int
    lease_until: datetime


class Renewed(NamedTuple):
    """A row that is held for longer."""

    user_id: UUID
    lease_until: datetime


class Acknowledged(NamedTuple):
    """A row that is complete."""

    user_id: UUID


@dataclass
class Claim:
    """Erasures of one tenant that this relay holds, each user's with its revision in the ledger.

    `held_until` proves it: it is different for each claim of the same row. `renewed_at` is by the
    monotonic clock.
    """

    tenant_id: UUID
    held_until: datetime
    revs: dict[UUID, int]
    renewed_at: float = field(default_factory=time.monotonic)

    @property
    def user_ids(self) -> Sequence[UUID]:
        return list(self.revs)

    def take(self, user_ids: Iterable[UUID]) -> Claim:
        """Split these users off as a claim of their own."""
        revs = {one: self.revs.pop(one) for one in user_ids if one in self.revs}
        return Claim(self.tenant_id, self.held_until, revs, self.renewed_at)

    def without(self, user_ids: Iterable[UUID]) -> Claim:
        """Split all but these off as a claim of their own."""
        return self.take(set(self.revs).difference(user_ids))

    def values(self, user_ids: Iterable[UUID] | None = None) -> dict[str, Any]:
        """Return the arguments that prove that these users are held; by default, all of them."""
        ids = self.user_ids if user_ids is None else list(user_ids)
        revs = [self.revs.get(one) for one in ids]
        held = {"tenant_id": self.tenant_id, "held_until": self.held_until}
        return held | {"user_ids": ids, "revs": revs}


class Backlog(NamedTuple):
    """Tells how many erasures are pending, since when, and how often the worst one was tried."""

    pending: int
    oldest_pending_seconds: float
    attempts_max: int


class Ledger:
    """A relay's statements on `subject_ledger`."""

    def __init__(self, database: Database[UserSession], settings: Settings) -> None:
        self._database = database
        self._most = settings.relay_batch_users
        self._lease = timedelta(seconds=settings.relay_lease_seconds)
        self._first = timedelta(seconds=settings.relay_backoff_seconds)
        self._longest = timedelta(seconds=settings.relay_backoff_max_seconds)

    async def claim(self, *, newest: bool = False) -> Claim | None:
        """Take the erasure that has been due longest, and more of its tenant; None if none is due.

        The newest one instead is taken alone.
        """
        values = {"lease": self._lease, "most": 1 if newest else self._most, "newest": newest}
        rows = await fetch_as(Claimed, self._database, CLAIM, values)
        if not rows:
            return None
        revs = {row.user_id: row.rev for row in rows}
        return Claim(rows[0].tenant_id, rows[0].lease_until, revs)

    def is_renewal_due(self, claim: Claim) -> bool:
        return time.monotonic() > claim.renewed_at + self._lease.total_seconds() / 3

    async def renew(self, claim: Claim, progress: Iterable[Counts] = ()) -> None:
        """Hold it longer and write its progress down for people to see.

        The claim is then without those whom another relay has. Raises LeaseLostError if all are.
        """
        counts = {one.user_id: one for one in progress}
        values = claim.values() | {"lease": self._lease} | _counts(claim.user_ids, counts)
        renewed = await fetch_as(Renewed, self._database, RENEW, values)
        if not renewed:
            raise LeaseLostError
        claim.revs = claim.take(one.user_id for one in renewed).revs
        claim.held_until = renewed[0].lease_until
        claim.renewed_at = time.monotonic()

    async def acknowledge(self, claim: Claim, receipts: Iterable[Receipt]) -> list[UUID]:
        """Mark these erasures complete. Return whose are; the lease of the others was lost."""
        proofs = {one.user_id: one for one in receipts}
        hashes = {"hashes": [one.hash for one in proofs.values()]}
        values = claim.values(proofs) | hashes | _counts(proofs, proofs)
        rows = await fetch_as(Acknowledged, self._database, ACKNOWLEDGE, values)
        return list(claim.take(row.user_id for row in rows).revs)

    async def settle(self, tenant_id: UUID, user_ids: Sequence[UUID]) -> str:
        """Return what the receipts say of the people's keys, as JSON, once nothing else is left."""
        values = {"tenant_id": tenant_id, "user_ids": list(user_ids)}
        return str(await fetch_value(self._database, SETTLE, values))

    async def postpone(self, claim: Claim, error: str) -> None:
        """Put off the one erasure of the claim, since it failed; each time for longer."""
        ((user_id, rev),) = claim.revs.items()
        one = {"user_id": user_id, "rev": rev, "error": error}
        pauses = {"first": self._first, "longest": self._longest}
        await fetch_value(self._database, POSTPONE, claim.values() | one | pauses)

    async def release(self, claim: Claim, error: str | None = None) -> None:
        """Give them back for anyone to claim at once."""
        if claim.revs:
            await fetch_value(self._database, RELEASE, claim.values() | {"error": error})

    async def backlog(self) -> Backlog:
        (backlog,) = await fetch_as(Backlog, self._database, BACKLOG)
        return backlog


def _counts(user_ids: Iterable[UUID], of: Mapping[UUID, Counts | Receipt]) -> dict[str, Any]:
    counts = [of.get(one) for one in user_ids]
    return {
        "chat_sessions": [one and one.chat_sessions for one in counts],
        "messages": [one and one.messages for one in counts],
    }
