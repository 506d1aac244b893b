"""The relay's side of the user database: which holds were placed or lifted since the last delivery.

Each statement is one definer function (app/databases/sql/user), and commits by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from app.bridge.rows import fetch_as, fetch_value
from app.databases.database import Database
from app.databases.sessions import UserSession

PENDING = text("SELECT * FROM pending_holds(:page)")
ACKNOWLEDGE = text("SELECT acknowledge_hold(:tenant_id, :user_id, :rev)")
OUTRUN = text("SELECT outrun_hold(:tenant_id, :user_id, :rev, :seen)")
BACKLOG = text("SELECT * FROM hold_backlog()")
PAGE = 100


class Delivery(NamedTuple):
    """Tells whether a user is held, as of a revision; placing and lifting each make a new one."""

    tenant_id: UUID
    user_id: UUID
    is_held: bool
    rev: int


class Backlog(NamedTuple):
    """Tells how many deliveries are pending, and for how long."""

    pending: int
    oldest_pending_seconds: float


class Outbox:
    def __init__(self, database: Database[UserSession]) -> None:
        self._database = database

    async def pending(self) -> Sequence[Delivery]:
        """Read a page of them; the longest waiting come first."""
        return await fetch_as(Delivery, self._database, PENDING, {"page": PAGE})

    async def acknowledge(self, delivery: Delivery) -> bool:
        """Note that it is done; False if there is a later one."""
        is_noted: bool = await fetch_value(self._database, ACKNOWLEDGE, delivery._asdict())
        return is_noted

    async def outrun(self, delivery: Delivery, seen: int) -> None:
        """Give it a later revision than the general database has seen."""
        await fetch_value(self._database, OUTRUN, delivery._asdict() | {"seen": seen})

    async def backlog(self) -> Backlog:
        (backlog,) = await fetch_as(Backlog, self._database, BACKLOG)
        return backlog
