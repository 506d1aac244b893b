"""The relay's side of the user database: which erasures are pending, who holds which.

    pending ──claim──▶ held ──acknowledge──▶ complete
       ▲                │
       └── postpone, release, lease over ────┘

Each is one definer function (migration u0004) in one statement that commits by itself, so nothing
here ever holds a transaction while the other database is worked on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Row, TextClause, text

from app.bridge.erasure.steps import Batch, Receipt
from app.config.settings import Settings
from app.databases.database import Database
from app.databases.sessions import UserSession

CLAIM = text("SELECT * FROM claim_erasure(:lease)")
HELD = ":tenant_id, :user_id, :rev, :held_until"
RENEW = text(f"SELECT renew_erasure({HELD}, :lease, :chat_sessions, :messages)")
ACKNOWLEDGE = text(f"SELECT acknowledge_erasure({HELD}, :hash, :chat_sessions, :messages)")
POSTPONE = text(f"SELECT postpone_erasure({HELD}, :error, :first, :longest)")
RELEASE = text(f"SELECT release_erasure({HELD}, :error)")
BACKLOG = text("SELECT * FROM erasure_backlog()")


class LeaseLostError(Exception):
    """Another relay has taken this erasure over; it will finish it."""


@dataclass
class Claim:
    """An erasure this relay holds. `held_until` is the token that proves it."""

    tenant_id: UUID
    user_id: UUID
    rev: int
    held_until: datetime
    requested_at: datetime
    taken_at: float = field(default_factory=time.monotonic)

    @property
    def proof(self) -> dict[str, Any]:
        names = ("tenant_id", "user_id", "rev", "held_until")
        return {name: getattr(self, name) for name in names}


class Backlog(NamedTuple):
    pending: int
    oldest_pending_seconds: float
    attempts_max: int


class Ledger:
    """What a relay does with `subject_ledger`."""

    def __init__(self, database: Database[UserSession], settings: Settings) -> None:
        self._database = database
        self._lease = timedelta(seconds=settings.relay_lease_seconds)
        self._first = timedelta(seconds=settings.relay_backoff_seconds)
        self._longest = timedelta(seconds=settings.relay_backoff_max_seconds)

    async def claim(self) -> Claim | None:
        row = await self._one(CLAIM, {"lease": self._lease})
        return Claim(*row) if row else None

    def is_renewal_due(self, claim: Claim) -> bool:
        return time.monotonic() > claim.taken_at + self._lease.total_seconds() / 3

    async def renew(self, claim: Claim, progress: Batch) -> None:
        """Writes down how far it is, too, for people to see. Raises LeaseLostError."""
        counts = {
            "chat_sessions": progress.all_chat_sessions,
            "messages": progress.all_messages,
        }
        held_until = await self._scalar(RENEW, claim.proof | counts | {"lease": self._lease})
        if held_until is None:
            raise LeaseLostError
        claim.held_until, claim.taken_at = held_until, time.monotonic()

    async def acknowledge(self, claim: Claim, receipt: Receipt) -> None:
        """Raises LeaseLostError."""
        if not await self._scalar(ACKNOWLEDGE, claim.proof | receipt._asdict()):
            raise LeaseLostError

    async def postpone(self, claim: Claim, error: str) -> None:
        """It failed: again later, and each time later still."""
        pace = {"error": error, "first": self._first, "longest": self._longest}
        await self._scalar(POSTPONE, claim.proof | pace)

    async def release(self, claim: Claim, error: str | None = None) -> None:
        """For anyone to claim at once."""
        await self._scalar(RELEASE, claim.proof | {"error": error})

    async def backlog(self) -> Backlog:
        row = await self._one(BACKLOG, {})
        return Backlog(*row) if row else Backlog(0, 0, 0)

    async def _scalar(self, statement: TextClause, values: dict[str, Any]) -> Any:
        row = await self._one(statement, values)
        return row[0] if row else None

    async def _one(self, statement: TextClause, values: dict[str, Any]) -> Row[Any] | None:
        async with self._database.one_statement() as connection:
            return (await connection.execute(statement, values)).one_or_none()
