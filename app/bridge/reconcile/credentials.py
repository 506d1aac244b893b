"""Lists whose password, roles, block or API key may be old, after a restore of the user database.

What was changed after the backup is known to nobody, so everybody and every key is listed. A moment
narrows it to those of whom something is known since: their row or an event of the audit in the user
database, or a conversation in the general one. Whoever was deleted since is found by reconcile
itself. API keys are never left out: one that was revoked looks like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from app.bridge.reconcile.differences import Key
from app.bridge.rows import fetch_as, pages_of
from app.databases.database import Databases

PAGE = 10_000

PEOPLE = text("SELECT * FROM credentials_of_people(:tenant_id, :user_id, :page)")
API_KEYS = text("SELECT * FROM credentials_of_backends(:tenant_id, :user_id, :page)")
ACTIVE = text("""
SELECT * FROM active_since(:moment, CAST(:tenants AS uuid[]), CAST(:users AS uuid[]))
""")


class Person(NamedTuple):
    """Somebody's credentials; `as_of` is the last moment of which the user database knows."""

    tenant_id: UUID
    id: UUID
    as_of: datetime
    is_blocked: bool
    roles: list[str]


class ApiKey(NamedTuple):
    """An API key that is in force now, and was at `as_of`."""

    tenant_id: UUID
    id: UUID
    as_of: datetime


class Credentials(NamedTuple):
    people: list[Person]
    api_keys: list[ApiKey]


async def may_be_old(databases: Databases, since: datetime | None, page: int = PAGE) -> Credentials:
    """Read all that there are now, or those people of whom something is known since a moment."""
    people: list[Person] = []
    async for some in pages_of(Person, databases.user, PEOPLE, page=page):
        people += some if since is None else await _known_since(databases, since, some)
    pages = pages_of(ApiKey, databases.user, API_KEYS, page=page)
    return Credentials(people, [key async for keys in pages for key in keys])


async def _known_since(
    databases: Databases, since: datetime, people: Sequence[Person]
) -> list[Person]:
    arrays = {"tenants": [one.tenant_id for one in people], "users": [one.id for one in people]}
    values = arrays | {"moment": since}
    active = set(await fetch_as(Key, databases.general, ACTIVE, values))
    return [p for p in people if p.as_of >= since or Key(p.tenant_id, p.id) in active]
