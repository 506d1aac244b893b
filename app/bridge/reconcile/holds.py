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
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text

from app.accounts.audit import Action, Actor, ActorType, Audit
from app.bridge.holds.relay import HoldRelay
from app.bridge.reconcile.differences import Difference, Key, Kind
from app.bridge.rows import fetch_as
from app.databases.database import Database, Databases
from app.databases.sessions import GeneralSession, UserSession

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
    """Tells whether the user database has a hold on somebody, and if a relay has yet to deliver."""

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


async def differences(databases: Databases) -> set[Difference]:
    """Compare all who are held, or were. Those of a delivery under way may be among them."""
    users = {_key(one): one for one in await _users(databases.user)}
    owners = {_key(one): one for one in await _owners(databases.general)}
    return set(_differences(users, owners))


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
    """Have it delivered again. False for a lost hold on somebody whom nobody knows any more."""
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


async def _users(database: Database[UserSession]) -> list[UserHold]:
    found: list[UserHold] = []
    while page := await fetch_as(UserHold, database, OF_USERS, _after(found)):
        found += page
    return found


async def _owners(database: Database[GeneralSession]) -> list[OwnerHold]:
    found: list[OwnerHold] = []
    while page := await fetch_as(OwnerHold, database, OF_OWNERS, _after(found)):
        found += page
    return found


def _after(found: list[UserHold] | list[OwnerHold]) -> dict[str, Any]:
    last = _key(found[-1]) if found else Key(UUID(int=0), UUID(int=0))
    return last._asdict() | {"page": PAGE}


def _key(one: UserHold | OwnerHold) -> Key:
    return Key(one.tenant_id, one.user_id)
