"""People's wrapped keys in the user database, and the master keys that wrap them.

Every statement is a function (app/databases/sql/user): the service's login reads no table of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import RowMapping, text

from app.databases.sealing.master_keys import KeyUnavailableError, MasterKeys, WrappedKey
from app.databases.sessions import UserSession

# Whoever was looked up before sealing began may still write plain rows, for the second that their
# look-up counts; the rest is for clocks that are set meanwhile.
SETTLING = timedelta(seconds=10)
NOBODY = UUID(int=0)

IN_USE = text("SELECT id, proof FROM master_keys_in_use()")
USE = text("SELECT use_master_key(:master_id, :proof)")
FORGET = text("SELECT forget_master_keys(:active)")
PEOPLE = text("SELECT id, people FROM people_of_master_keys()")
BEGIN = text("SELECT begin_sealing(:settling)")
SETTLE = text("SELECT settle_sealing()")
END = text("SELECT end_sealing()")
STATE = text("SELECT is_on, is_settled FROM sealing_state()")
COUNTS = text("SELECT sealed, converted, plain FROM people_sealed()")
KEEP = text("""
SELECT id, master_id, wrapped
FROM keep_wrapped_key(:tenant_id, :user_id, :id, :master_id, :wrapped, :was_plain)
""")
FIND = text("SELECT id, master_id, wrapped FROM wrapped_key_of(:tenant_id, :user_id)")
PAGE = text("""
SELECT tenant_id, user_id, id, master_id, wrapped
FROM wrapped_keys_page(:tenant_id, :user_id, :rows, :other_than)
""")
REWRAP = text("""
SELECT rewrap_key(:tenant_id, :user_id, :id, :before, :master_id, :wrapped)
""")
NOTE_SEALED = text("SELECT note_sealed(:tenant_id, :user_id, :id)")
DROP = text("SELECT drop_wrapped_key(:tenant_id, :user_id, :id)")


class Owned(NamedTuple):
    """A wrapped key, and whose it is."""

    tenant_id: UUID
    user_id: UUID
    key: WrappedKey

    @property
    def whose(self) -> dict[str, Any]:
        return {"tenant_id": self.tenant_id, "user_id": self.user_id}


class State(NamedTuple):
    """Tells whether new rows are sealed, and whether nobody writes plain ones any more."""

    is_on: bool
    is_settled: bool


class People(NamedTuple):
    """Counts people with a key: sealed from the first row on, converted, or plain in part yet."""

    sealed: int
    converted: int
    plain: int


class WrappedKeys:
    """The statements on keys, in one transaction of the user database."""

    def __init__(self, session: UserSession) -> None:
        self._session = session

    async def check(self, master_keys: MasterKeys) -> None:
        """Raises KeyUnavailableError unless every master key in use is known here."""
        for master_id, proof in await self.in_use():
            if not master_keys.proves(master_id, proof):
                raise KeyUnavailableError

    async def in_use(self) -> Sequence[tuple[str, bytes]]:
        return [(row[0], row[1]) for row in await self._session.execute(IN_USE)]

    async def use(self, master_keys: MasterKeys) -> None:
        """Note that the active master key is in use. Raises KeyUnavailableError as `check` does."""
        if master_keys.active is None:
            raise KeyUnavailableError
        proof = master_keys.proof(master_keys.active)
        await self._session.execute(USE, {"master_id": master_keys.active, "proof": proof})
        await self.check(master_keys)

    async def forget_unused(self, active: str | None) -> None:
        await self._session.execute(FORGET, {"active": active})

    async def people(self) -> dict[str, int]:
        """Count the people whose key each master key in use wraps."""
        return {row[0]: row[1] for row in await self._session.execute(PEOPLE)}

    async def begin(self, settling: timedelta | None) -> bool:
        """Seal what is written from the commit on. False if it was sealed before.

        Plain rows may come for as long as `settling`; where that is None, until `settle`.
        """
        return bool(await self._session.scalar(BEGIN, {"settling": settling}))

    async def settle(self) -> None:
        """Note that nobody writes plain rows any more."""
        await self._session.execute(SETTLE)

    async def end(self) -> None:
        await self._session.execute(END)

    async def state(self) -> State:
        return State(*(await self._session.execute(STATE)).one())

    async def counts(self) -> People:
        return People(*(await self._session.execute(COUNTS)).one())

    async def keep(
        self, tenant_id: UUID, user_id: UUID, key: WrappedKey, *, was_plain: bool
    ) -> WrappedKey:
        """Keep a person's first key, or return the one that they have by now."""
        values = {"tenant_id": tenant_id, "user_id": user_id, "was_plain": was_plain}
        result = await self._session.execute(KEEP, values | _columns(key))
        return _key(result.mappings().one())

    async def find(self, tenant_id: UUID, user_id: UUID) -> WrappedKey | None:
        values = {"tenant_id": tenant_id, "user_id": user_id}
        row = (await self._session.execute(FIND, values)).mappings().one_or_none()
        return None if row is None else _key(row)

    async def page(
        self, after: Owned | None, *, rows: int, other_than: str | None = None
    ) -> Sequence[Owned]:
        """List keys by tenant and user, but for those that this master key wraps."""
        place = after.whose if after else {"tenant_id": NOBODY, "user_id": NOBODY}
        result = await self._session.execute(PAGE, place | {"rows": rows, "other_than": other_than})
        return [Owned(row["tenant_id"], row["user_id"], _key(row)) for row in result.mappings()]

    async def rewrap(self, owned: Owned, key: WrappedKey) -> bool:
        """Replace a wrapped key by the same key. False where it is gone, or has changed."""
        values = owned.whose | _columns(key) | {"before": owned.key.wrapped}
        return bool(await self._session.scalar(REWRAP, values))

    async def note_sealed(self, owned: Owned) -> None:
        """Note that nothing of the person's is plain any more."""
        await self._session.execute(NOTE_SEALED, owned.whose | {"id": owned.key.id})

    async def drop(self, owned: Owned) -> bool:
        """Delete the key of a person of whom nothing is sealed. False while others seal."""
        return bool(await self._session.scalar(DROP, owned.whose | {"id": owned.key.id}))


def _key(row: RowMapping) -> WrappedKey:
    return WrappedKey(row["id"], row["master_id"], row["wrapped"])


def _columns(key: WrappedKey) -> dict[str, Any]:
    return {"id": key.id, "master_id": key.master_id, "wrapped": key.wrapped}
