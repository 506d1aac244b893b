"""`litestar keys rotate`: every person's key is wrapped anew under the active master key.

What the keys have sealed stays as it is. Nobody waits: a process with both master keys unwraps
what was read before and what is written now. It may be killed and run again at any time.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

from app.accounts.audit import Action, Audit
from app.accounts.operators import operator
from app.accounts.tenants import TenantService
from app.accounts.wrapped_keys import Owned, WrappedKeys
from app.bridge.sealing.conversion import Person
from app.bridge.sealing.keys import Advance, Keys
from app.databases.database import Database
from app.databases.sealing.master_keys import KeyUnavailableError, MasterKeys
from app.databases.sessions import UserSession
from app.http.errors import NotFound
from app.http.security import PLATFORM_TENANT

ROWS = 200  # wrapped anew in one transaction


class Rotated(NamedTuple):
    """Counts the keys that were wrapped anew, and lists whose could not be unwrapped."""

    keys: int
    left: list[Person]


async def rotate(
    keys: Keys, database: Database[UserSession], advance: Advance, *, rows: int = ROWS
) -> Rotated:
    """Wrap all keys anew that another master key wrapped; one that is damaged holds up no other.

    Raises KeyUnavailableError where a master key in use is not known here. A process with another
    active key makes new keys under that one meanwhile, so it begins anew until it finds none.
    """
    async with database.session() as session:
        await WrappedKeys(session).use(keys.master_keys)
    count = 0
    while True:
        found, left = 0, list[Person]()
        async for page in _pages(keys.master_keys, database, rows):
            for _ in page.rewrapped:
                advance()
            found += len(page.rewrapped)
            left += page.left
        count += found
        if not found:
            break
    await _finish(keys.master_keys, database, count)
    return Rotated(count, left)


class _Page(NamedTuple):
    rewrapped: Sequence[Owned]
    left: Sequence[Person]


async def _pages(
    master_keys: MasterKeys, database: Database[UserSession], rows: int
) -> AsyncGenerator[_Page]:
    """Wrap anew what another master key wraps, page by page, each in a transaction."""
    after: Owned | None = None
    while True:
        async with database.session() as session:
            wrapped = WrappedKeys(session)
            page = await wrapped.page(after, rows=rows, other_than=master_keys.active)
            done = [one for one in page if await _rewrap(master_keys, wrapped, one)]
        if not page:
            return
        left = [Person(one.tenant_id, one.user_id) for one in page if one not in done]
        yield _Page(done, left)
        after = page[-1]


async def _rewrap(master_keys: MasterKeys, wrapped: WrappedKeys, one: Owned) -> bool:
    """Wrap a key anew. False for one that is not what its master key wrapped."""
    try:
        key = master_keys.rewrap(one.key, one.tenant_id, one.user_id)
    except KeyUnavailableError:
        return False
    await wrapped.rewrap(one, key)
    return True


async def _finish(master_keys: MasterKeys, database: Database[UserSession], count: int) -> None:
    """Forget the master keys that wrap nothing any more, and note the event with it."""
    async with database.session() as session:
        await WrappedKeys(session).forget_unused(master_keys.active)
        if count:
            await _note(session)


async def _note(session: UserSession) -> None:
    """Note the event in the platform's tenant, if there is one."""
    try:
        platform = await TenantService(session).enter_named(PLATFORM_TENANT)
    except NotFound:
        return
    actor = operator(platform.id)
    await Audit(session).note(actor, platform.id, Action.SEAL_KEYS_ROTATED)
