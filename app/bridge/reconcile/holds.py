"""Compares the holds of the user database with the owners whom the general one holds.

Placing a hold makes a revision, and so does lifting one; the general database keeps that of the
last one that came. Where the two differ, and nothing is on its way, the revisions tell which of
them was restored to before something:

- the user database has a hold, the general one does not: it is delivered again. Even where the
  general one knows of a later lift: of two answers, the one that loses nothing.
- the general database holds somebody, and the user database knows of that revision and has no hold:
  it was lifted, and that is delivered again.
- the general database holds somebody by a revision that the user database does not know: a hold
  was lost with it. It is placed again, with a reason that says so; who placed it is in exports of
  the audit. Somebody whom the user database does not know at all stays held, and is reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import TextClause, text

from app.accounts.audit import Action, Actor, ActorType, Audit
from app.bridge.holds.relay import HoldRelay
from app.bridge.reconcile.differences import Difference, Key, Kind
from app.bridge.rows import pages_of
from app.databases.database import Database, Databases
from app.databases.sessions import UserSession

PAGE = 10_000
REASON = "A restored user database had lost this hold; its reason is in the audit before that."
OF_USERS = text("SELECT * FROM hold_facts(:tenant_id, :user_id, :page)")
OF_OWNERS = text("SELECT * FROM held_owners(:tenant_id, :user_id, :page)")
SEEN = text("SELECT hold_rev FROM owners WHERE tenant_id = :tenant_id AND user_id = :user_id")
MEND = text("SELECT mend_hold(:tenant_id, :user_id, :seen)")
PLACE = text("""
INSERT INTO holds (tenant_id, user_id, reason)
SELECT u.tenant_id, u.id, :reason FROM users u WHERE u.tenant_id = :tenant_id AND u.id = :user_id
ON CONFLICT DO NOTHING RETURNING user_id
""")
KINDS = {Kind.HOLD_NOT_IN_FORCE, Kind.HOLD_LEFT, Kind.HOLD_LOST}


class UserHold(NamedTuple):
    """Tells whether the user database has a hold on somebody, and if its delivery is pending."""

    tenant_id: UUID
    user_id: UUID
    is_held: bool = False
    rev: int = 0
    is_pending: bool = False


class OwnerHold(NamedTuple):
    """Tells whether the general database holds an owner."""

    tenant_id: UUID
    user_id: UUID
    held: bool = False
    hold_rev: int = 0


H = TypeVar("H", UserHold, OwnerHold)


async def differences(databases: Databases) -> set[Difference]:
    """Compare all who are held, or were. Those of a delivery under way may be among them."""
    users = await _by_key(UserHold, databases.user, OF_USERS)
    owners = await _by_key(OwnerHold, databases.general, OF_OWNERS)
    return set(_differences(users, owners))


async def _by_key(shape: type[H], database: Database[Any], statement: TextClause) -> dict[Key, H]:
    pages = pages_of(shape, database, statement, page=PAGE)
    return {Key(one.tenant_id, one.user_id): one async for page in pages for one in page}


def _differences(users: dict[Key, UserHold], owners: dict[Key, OwnerHold]) -> Iterator[Difference]:
    for key in users.keys() | owners.keys():
        if kind := compare(users.get(key, UserHold(*key)), owners.get(key, OwnerHold(*key))):
            yield Difference(kind, *key)


def compare(user: UserHold, owner: OwnerHold) -> Kind | None:
    """Tell what is wrong between the two, if anything is."""
    if user.is_pending or user.is_held == owner.held:
        return None
    if user.is_held:
        return Kind.HOLD_NOT_IN_FORCE
    return Kind.HOLD_LOST if owner.hold_rev > user.rev else Kind.HOLD_LEFT


async def mend(databases: Databases, service: Databases, one: Difference) -> bool:
    """Have the hold, or its lift, delivered again. False for a lost hold on an unknown user."""
    subject = {"tenant_id": one.tenant_id, "user_id": one.user_id}
    async with databases.general.session(one.tenant_id) as general:
        seen = await general.scalar(SEEN, subject) or 0
    async with service.user.session(one.tenant_id) as session:
        if one.kind is Kind.HOLD_LOST and not await _placed(session, subject):
            return False
        await session.execute(MEND, subject | {"seen": seen})
    return True


async def deliver(databases: Databases) -> None:
    """Bring into force, as a relay, what is pending."""
    relay = HoldRelay(databases)
    while await relay.run_once():
        pass


async def _placed(session: UserSession, subject: dict[str, UUID | None]) -> bool:
    user_id = await session.scalar(PLACE, subject | {"reason": REASON})
    if user_id is not None:
        await Audit(session).note(
            Actor(ActorType.OPERATOR), user_id, Action.HOLD_PLACED, reason=REASON
        )
    return user_id is not None
