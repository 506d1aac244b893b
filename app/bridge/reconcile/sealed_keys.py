"""Compares the keys under which people's words are sealed with those that the user database has.

Who has another key than the one in `owners.key_id`, or none, cannot be read: the user database was
restored, or a standby promoted, from before their key was made. Only a newer copy of it mends that.
"""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from app.bridge.reconcile.differences import Difference, Key, Kind
from app.bridge.rows import fetch_as, pages_of
from app.databases.database import Databases

PAGE = 10_000
SEALED = text("SELECT * FROM sealed_owners(:tenant_id, :user_id, :page)")
OTHERS = text("""
SELECT * FROM other_keys(CAST(:tenants AS uuid[]), CAST(:users AS uuid[]), CAST(:keys AS uuid[]))
""")


class SealedOwner(NamedTuple):
    tenant_id: UUID
    user_id: UUID
    key_id: UUID


async def lost_keys(databases: Databases, page: int = PAGE) -> set[Difference]:
    """Find living people whose words are sealed under a key that the user database has not."""
    found: set[Difference] = set()
    async for owners in pages_of(SealedOwner, databases.general, SEALED, page=page):
        tenants, users, keys = zip(*owners, strict=True)
        asked = {"tenants": list(tenants), "users": list(users), "keys": list(keys)}
        for key in await fetch_as(Key, databases.user, OTHERS, asked):
            found.add(Difference(Kind.KEY_LOST, *key))
    return found
