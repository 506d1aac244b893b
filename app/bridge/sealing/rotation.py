"""`litestar keys rotate`: every person's key is wrapped anew under the active master key.

What the keys have sealed stays as it is. Nobody waits: a process with both master keys unwraps
what was read before and what is written now. It may be killed and run again at any time.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.accounts.audit import Action, Audit
from app.accounts.operators import operator
from app.accounts.tenants import TenantService
from app.accounts.wrapped_keys import Owned, WrappedKeys
from app.bridge.sealing.keys import Advance, Keys
from app.databases.database import Database
from app.databases.sealing.master_keys import MasterKeys
from app.databases.sessions import UserSession
from app.http.errors import NotFound
from app.http.security import PLATFORM_TENANT

ROWS = 200  # wrapped anew in one transaction


async def rotate(
    keys: Keys, database: Database[UserSession], advance: Advance, *, rows: int = ROWS
) -> int:
    """Wrap all keys anew, and tell how many there were that another master key wrapped.

    Raises KeyUnavailableError for a key whose master key is not known here. A process with another
    active key makes new keys under that one meanwhile, so it begins anew until it finds none.
    """
    count = 0
    async with database.session() as session:
        await WrappedKeys(session).use(keys.master_keys)
    after: Owned | None = None
    while True:
        page = await _rewrap_page(keys.master_keys, database, after, rows)
        for _ in page:
            advance()
        count += len(page)
        if not page and after is None:
            break
        after = page[-1] if page else None
    await _finish(keys.master_keys, database, count)
    return count


async def _rewrap_page(
    master_keys: MasterKeys, database: Database[UserSession], after: Owned | None, rows: int
) -> Sequence[Owned]:
    async with database.session() as session:
        wrapped = WrappedKeys(session)
        page = await wrapped.page(after, rows=rows, other_than=master_keys.active)
        for one in page:
            await wrapped.rewrap(one, master_keys.rewrap(one.key, one.tenant_id, one.user_id))
        return page


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
