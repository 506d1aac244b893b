"""The relay's side of the user database: which erasures are pending, and who holds which.

    pending ──claim──▶ held ──acknowledge──▶ complete
       ▲                │
       └── postpone, release, lease over ────┘

Each transition is one definer function (app/databases/sql/user) in one statement that commits by
itself, so no transaction is held here while the other database is worked on.
"""

from __future__ import annotations

import time
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
SELECT tenant_id, user_id, rev, lease_until AS held_until FROM claim_erasure(:lease)
""")
HELD = ":tenant_id, :user_id, :rev, :held_until"
RENEW = text(f"SELECT renew_erasure({HELD}, :lease, :chat_sessions, :messages)")
ACKNOWLEDGE = text(f"SELECT acknowledge_erasure({HELD}, :hash, :chat_sessions, :messages)")
POSTPONE = text(f"SELECT postpone_erasure({HELD}, :error, :first, :longest)")
RELEASE = text(f"SELECT release_erasure({HELD}, :error)")
BACKLOG = text("SELECT * FROM erasure_backlog()")


class LeaseLostError(Exception):
    """Another relay has taken this erasure over; it will finish it."""


class Held(NamedTuple):
    """The proof that a claim is held: `held_until` is different for each claim of the same row."""

    tenant_id: UUID
    user_id: UUID
    rev: int
    held_until: datetime


@dataclass
class Claim:
    """An erasure that this relay holds, and when it was last renewed, on the monotonic clock."""

    held: Held
    renewed_at: float = field(default_factory=time.monotonic)

    @property
    def tenant_id(self) -> UUID:
        return self.held.tenant_id

    @property
    def user_id(self) -> UUID:
        return self.held.user_id


class Backlog(NamedTuple):
    """Tells how many erasures are pending, since when, and how often the worst one was tried."""

    pending: int
    oldest_pending_seconds: float
    attempts_max: int


class Ledger:
    """A relay's statements on `subject_ledger`."""

    def __init__(self, database: Database[UserSession], settings: Settings) -> None:
        self._database = database
        self._lease = timedelta(seconds=settings.relay_lease_seconds)
        self._first = timedelta(seconds=settings.relay_backoff_seconds)
        self._longest = timedelta(seconds=settings.relay_backoff_max_seconds)

    async def claim(self) -> Claim | None:
        """Take the erasure that has been due longest; None when none is due."""
        rows = await fetch_as(Held, self._database, CLAIM, {"lease": self._lease})
        return Claim(rows[0]) if rows else None

    def is_renewal_due(self, claim: Claim) -> bool:
        return time.monotonic() > claim.renewed_at + self._lease.total_seconds() / 3

    async def renew(self, claim: Claim, progress: Counts) -> None:
        """Hold it longer and write its progress down for people to see. Raises LeaseLostError."""
        values = progress._asdict() | {"lease": self._lease}
        held_until = await self._call(RENEW, claim, values)
        if held_until is None:
            raise LeaseLostError
        claim.held = claim.held._replace(held_until=held_until)
        claim.renewed_at = time.monotonic()

    async def acknowledge(self, claim: Claim, receipt: Receipt) -> None:
        """Mark it complete. Raises LeaseLostError."""
        if not await self._call(ACKNOWLEDGE, claim, receipt._asdict()):
            raise LeaseLostError

    async def postpone(self, claim: Claim, error: str) -> None:
        """Put it off, since it failed; each time for longer."""
        values = {"error": error, "first": self._first, "longest": self._longest}
        await self._call(POSTPONE, claim, values)

    async def release(self, claim: Claim, error: str | None = None) -> None:
        """Give it back for anyone to claim at once."""
        await self._call(RELEASE, claim, {"error": error})

    async def backlog(self) -> Backlog:
        (backlog,) = await fetch_as(Backlog, self._database, BACKLOG)
        return backlog

    async def _call(self, statement: Any, claim: Claim, values: dict[str, Any]) -> Any:
        return await fetch_value(self._database, statement, claim.held._asdict() | values)
