"""The databases may differ in these ways; each difference proves something, and is mended so.

A row is changed only where the other database, or a key of its own, proves it wrong:

- A receipt, or an owner that the relay has closed (it notes when), proves a deletion that was
  committed: the relay closes for nothing else, and no deletion is ever taken back. So a user
  database that does not know of it was restored to before it, and the user is deleted again.
- An owner closed by hand proves nothing. It is reported and left alone.
- A ledger entry 'deleted' is final. Whatever the general database holds of such a user is erased;
  a receipt that is already there stays, since what it says was true.
- A user without a ledger entry exists, so the entry is made. An entry 'present' without a user
  belongs to a user deleted past the trigger, which is a deletion like any other.
- A database that is behind what the other one has seen of it (app/bridge/heartbeats.py) was
  restored from a backup. So was a user database that does not know of a proved deletion. Tokens
  that had been ended may then be good again, so all of them are ended.
- A stranger has rows in the general database, and neither a user nor an entry in the other. Entries
  are never removed, so either the rows were slipped in, or the user database was restored to before
  the user was created. Nobody can ever log in as them or ask for their erasure, so nobody owns
  these rows, and --repair erases them with a receipt. An operator who may yet find a later backup
  of the user database says --keep-strangers. A user database that never knew anybody is the wrong
  one, and proves nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from app.databases.connection import DatabaseName


class Kind(StrEnum):
    USER_DATABASE_RESTORED = "user_database_restored"
    GENERAL_DATABASE_RESTORED = "general_database_restored"
    USER_RESTORED = "user_restored"
    USER_RETURNED = "user_returned"
    ERASURE_LOST = "erasure_lost"
    ROWS_LEFT = "rows_left"
    ENTRY_LOST = "entry_lost"
    USER_LOST = "user_lost"
    OWNER_LOST = "owner_lost"
    STRANGER = "stranger"
    UNPROVED = "unproved"
    HOLD_NOT_IN_FORCE = "hold_not_in_force"
    HOLD_LEFT = "hold_left"
    HOLD_LOST = "hold_lost"
    STRAY_MESSAGES = "stray_messages"
    GUARD_MISSING = "guard_missing"
    GUARD_OFF = "guard_off"
    NOT_VALIDATED = "not_validated"
    CHAIN_BROKEN = "chain_broken"
    KEY_LOST = "key_lost"


MEANING = {
    Kind.USER_DATABASE_RESTORED: "changes of then to tokens, passwords, roles, blocks and API keys"
    " are lost",
    Kind.GENERAL_DATABASE_RESTORED: "conversations and receipts of then are lost",
    Kind.USER_RESTORED: "erased in the general database, yet not deleted in the user database",
    Kind.USER_RETURNED: "deleted, yet there is a user",
    Kind.ERASURE_LOST: "delivered, yet the general database has not that receipt",
    Kind.ROWS_LEFT: "erased, yet there are rows",
    Kind.ENTRY_LOST: "a user whom the ledger does not know",
    Kind.USER_LOST: "present in the ledger, yet there is no user",
    Kind.OWNER_LOST: "rows without an owner",
    Kind.STRANGER: "an owner whom the user database never knew",
    Kind.UNPROVED: "closed by no relay; look into it",
    Kind.HOLD_NOT_IN_FORCE: "held in the user database, and not in the general one",
    Kind.HOLD_LEFT: "lifted in the user database, and yet held in the general one",
    Kind.HOLD_LOST: "held in the general database by a hold that the user database has lost",
    Kind.STRAY_MESSAGES: "messages without their session",
    Kind.GUARD_MISSING: "is missing",
    Kind.GUARD_OFF: "is off",
    Kind.NOT_VALIDATED: "is not validated",
    Kind.CHAIN_BROKEN: "breaks the chain of receipts; compare it with an export",
    Kind.KEY_LOST: "sealed under a key that the user database has not; restore a newer one",
}

# The verdicts of mend_ledger, for the differences that are mended in the user database.
VERDICTS = {
    Kind.USER_RESTORED: "deleted",
    Kind.USER_RETURNED: "deleted",
    Kind.ERASURE_LOST: "again",
    Kind.ROWS_LEFT: "again",
    Kind.ENTRY_LOST: "present",
    Kind.USER_LOST: "gone",
    Kind.STRANGER: "gone",
}


RESTORED: dict[DatabaseName, Kind] = {
    "user": Kind.USER_DATABASE_RESTORED,
    "general": Kind.GENERAL_DATABASE_RESTORED,
}

# Each proves that the user database was restored to before something was committed to it.
USER_IS_OLD = {Kind.USER_DATABASE_RESTORED, Kind.USER_RESTORED, Kind.HOLD_LOST}


class Key(NamedTuple):
    """A user, in either database."""

    tenant_id: UUID
    user_id: UUID


class Difference(NamedTuple):
    """One finding. `thing` names a trigger, a constraint, or a receipt by its number."""

    kind: Kind
    tenant_id: UUID | None = None
    user_id: UUID | None = None
    session_id: UUID | None = None
    thing: str | None = None

    @property
    def key(self) -> Key | None:
        if self.tenant_id is None or self.user_id is None:
            return None
        return Key(self.tenant_id, self.user_id)

    def __str__(self) -> str:
        ids = {"tenant": self.tenant_id, "user": self.user_id, "session": self.session_id}
        where = [f"{name} {value}" for name, value in ids.items() if value]
        if self.thing:
            where.append(self.thing)
        return f"{self.kind}: {', '.join(where)}: {self.meaning}"

    @property
    def meaning(self) -> str:
        return MEANING[self.kind]


class UserFacts(NamedTuple):
    """The user database knows this of a user; `state` and the rest are the ledger's."""

    tenant_id: UUID
    user_id: UUID
    is_user: bool
    state: str | None
    is_pending: bool
    receipt: str | None


class OwnerFacts(NamedTuple):
    """The general database knows this of a user; `is_dated` says that a relay closed the owner."""

    tenant_id: UUID
    user_id: UUID
    state: str | None
    is_dated: bool
    receipt: str | None
    has_rows: bool

    @property
    def is_gone(self) -> bool:
        return self.state in ("closed", "erased") or self.receipt is not None

    @property
    def is_proof(self) -> bool:
        return self.is_dated or self.receipt is not None

    @property
    def is_anything(self) -> bool:
        return self.state is not None or self.has_rows


def present_user(key: Key) -> UserFacts:
    """The facts about a user whom ledger_facts leaves out: they exist, and nothing is pending."""
    return UserFacts(*key, is_user=True, state="present", is_pending=False, receipt=None)


def open_owner(key: Key) -> OwnerFacts:
    """The facts about an owner whom owner_facts leaves out: they are open and may have rows."""
    return OwnerFacts(*key, state="open", is_dated=False, receipt=None, has_rows=True)


def compare(user: UserFacts, owner: OwnerFacts) -> Kind | None:
    """Tell what is wrong between the two, if anything is."""
    if user.state == "deleted":
        return _compare_deleted(user, owner)
    if owner.is_gone:
        return Kind.USER_RESTORED if owner.is_proof else Kind.UNPROVED
    if user.is_user:
        return _compare_living(user, owner)
    if user.state == "present":
        return Kind.USER_LOST
    return Kind.STRANGER if owner.is_anything else None


def _compare_deleted(user: UserFacts, owner: OwnerFacts) -> Kind | None:
    if user.is_user:
        return Kind.USER_RETURNED
    if user.is_pending:
        return None  # a relay will erase whatever is left
    if user.receipt is None or (owner.state, owner.receipt) != ("erased", user.receipt):
        return Kind.ERASURE_LOST
    return Kind.ROWS_LEFT if owner.has_rows else None


def _compare_living(user: UserFacts, owner: OwnerFacts) -> Kind | None:
    if user.state is None:
        return Kind.ENTRY_LOST
    return Kind.OWNER_LOST if owner.state is None and owner.has_rows else None
