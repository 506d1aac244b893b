"""`litestar keys seal` and `unseal`: person by person, while the service runs and people write.

    seal     (a) whatever is written is sealed from now on; it waits for those who may still write
                 plain rows, see writers.py
             (b) each person's plain rows are sealed, unless they were changed since they were read
             (c) the person has no plain rows any more: `plain_until` says since when

    unseal   (a) whatever is written is plain from now on, likewise
             (b) each person's sealed rows are opened
             (c) nothing is sealed under the person's key any more: it is deleted

Either may be killed and run again at any time: what is done already is found so. Where both run,
the one that began last goes on. Somebody whose key is lost, or whose rows cannot be read, holds
nobody else up: they are told of at the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from datetime import timedelta
from functools import partial
from typing import NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.accounts.wrapped_keys import NOBODY, SETTLING, Owned, State, WrappedKeys
from app.bridge.rows import fetch_as
from app.bridge.sealing.keys import Advance, Keys
from app.bridge.sealing.writers import Say, wait_for_writers
from app.chat.conversion import convert
from app.databases.causes import OTHER_KEY, OWNER_CLOSED, sqlstate
from app.databases.database import Databases
from app.databases.sealing.master_keys import KeyUnavailableError
from app.http.errors import Conflict

ROWS = 500
OWNERS = text("SELECT * FROM owners_page(:tenant_id, :user_id, :rows)")
IS_SEALED = text("SELECT is_sealed(:tenant_id, :user_id)")
SWITCHED = "Somebody has switched sealing on or off meanwhile, so this ends; the rest is theirs."
OF_USER = "fk_wrapped_keys_user_id_users"
# SQLSTATEs that tell of one person's rows: another key, values that make no sense, a damaged page.
OF_THEIR_ROWS = (OTHER_KEY, "22", "XX001")


class Owner(NamedTuple):
    """Somebody who has conversations, and the key that seals them."""

    tenant_id: UUID
    user_id: UUID
    key_id: UUID | None


class Person(NamedTuple):
    """Somebody who has rows that could not be converted."""

    tenant_id: UUID
    user_id: UUID


class Conversion:
    """Seals or unseals everybody's rows.

    For `settling`, requests whose caller was looked up before may still write in the old way.
    """

    def __init__(
        self, keys: Keys, databases: Databases, say: Say, *, settling: timedelta = SETTLING
    ) -> None:
        self._keys = keys
        self._databases = databases
        self._say = say
        self._settling = settling

    async def seal(self, advance: Advance) -> list[Person]:
        """Seal whatever is written from now on, and what is there; list whose rows could not be."""
        await self._keys.begin(None)
        await self._settle()
        return [
            Person(owner.tenant_id, owner.user_id)
            async for owner in self._owners()
            if not await _succeeds(self._seal(owner, advance))
        ]

    async def unseal(self, advance: Advance) -> list[Person]:
        """Seal nothing from now on, and open what is sealed; list who has unreadable rows."""
        await self._end()
        left = [
            Person(owned.tenant_id, owned.user_id)
            async for owned in self._wrapped()
            if not await _succeeds(self._unseal(owned, advance))
        ]
        async with self._databases.user.session() as session:
            await WrappedKeys(session).forget_unused(None)
        return left

    async def _seal(self, owner: Owner, advance: Advance) -> None:
        if owned := await self._key_of(owner):
            await self._convert(owned, advance, to_sealed=True)
            async with self._databases.user.session(owned.tenant_id) as session:
                await WrappedKeys(session).note_sealed(owned)

    async def _unseal(self, owned: Owned, advance: Advance) -> None:
        await self._convert(owned, advance, to_sealed=False)
        if await self._is_sealed(owned):
            raise KeyUnavailableError
        async with self._databases.user.session(owned.tenant_id) as session:
            await WrappedKeys(session).drop(owned)

    async def _end(self) -> None:
        async with self._databases.user.session() as session:
            await WrappedKeys(session).check(self._keys.master_keys)
            await WrappedKeys(session).end()
        await self._wait()

    async def _convert(self, owned: Owned, advance: Advance, *, to_sealed: bool) -> None:
        key = self._keys.master_keys.person_key(owned.key, owned.tenant_id, owned.user_id)
        general = self._databases.general
        check = partial(self._check, is_on=to_sealed)
        rows = convert(general, owned.tenant_id, owned.user_id, key, check, to_sealed=to_sealed)
        try:
            async for count in rows:
                for _ in range(count):
                    advance()
        except DBAPIError as error:
            if sqlstate(error)[0] != OWNER_CLOSED:  # they were deleted meanwhile
                raise

    async def _is_sealed(self, owned: Owned) -> bool:
        async with self._databases.general.session(owned.tenant_id) as session:
            return bool(await session.scalar(IS_SEALED, owned.whose))

    async def _settle(self) -> None:
        """Return once nobody writes plain rows any more, and note that."""
        if not (await self._state()).is_settled:
            await self._wait()
            async with self._databases.user.session() as session:
                await WrappedKeys(session).settle()

    async def _wait(self) -> None:
        """Wait for whoever may still write in the old way."""
        await asyncio.sleep(self._settling.total_seconds())
        await wait_for_writers(self._databases.general, self._say)

    async def _check(self, *, is_on: bool) -> None:
        """Raises Conflict where somebody has switched sealing on or off since."""
        if (await self._state()).is_on != is_on:
            raise Conflict(SWITCHED)

    async def _state(self) -> State:
        async with self._databases.user.session() as session:
            return await WrappedKeys(session).state()

    async def _owners(self) -> AsyncGenerator[Owner]:
        place = {"tenant_id": NOBODY, "user_id": NOBODY}
        is_full = True
        while is_full:
            page = await fetch_as(Owner, self._databases.general, OWNERS, place | {"rows": ROWS})
            is_full = len(page) == ROWS
            for owner in page:
                yield owner
                place = {"tenant_id": owner.tenant_id, "user_id": owner.user_id}

    async def _wrapped(self) -> AsyncGenerator[Owned]:
        after: Owned | None = None
        while True:
            async with self._databases.user.session() as session:
                page = await WrappedKeys(session).page(after, rows=ROWS)
            for owned in page:
                yield owned
            if not page:
                return
            after = page[-1]

    async def _key_of(self, owner: Owner) -> Owned | None:
        """Return the owner's key, and make it where there is none; None for a deleted person.

        Raises KeyUnavailableError where their rows are sealed under another key than they have.
        """
        try:
            key = await self._keys.key_of(owner.tenant_id, owner.user_id)
        except Exception as error:
            if sqlstate(error)[1] != OF_USER:
                raise
            return None
        if owner.key_id not in (None, key.id):
            raise KeyUnavailableError
        return Owned(owner.tenant_id, owner.user_id, key)


async def _succeeds(work: Awaitable[None]) -> bool:
    """Tell whether one person was converted; whatever keeps everybody from it is raised."""
    try:
        await work
    except (KeyUnavailableError, msgspec.DecodeError):
        return False
    except DBAPIError as error:
        if not (sqlstate(error)[0] or "").startswith(OF_THEIR_ROWS):
            raise
        return False
    return True
