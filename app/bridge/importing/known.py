"""Asks the user database whether it knows the people of an export."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select

from app.accounts.models import SubjectLedger
from app.databases.database import Database
from app.databases.sessions import UserSession

DELETED = "was deleted, and nobody who was deleted comes back"
UNKNOWN = (
    "is not known to the user database: move that one first, or say --with-strangers if it follows"
)
WITHOUT_KEY = (
    "is not known to the user database, which would have the key to seal what they said: move that"
    " one first"
)


async def refusals(
    database: Database[UserSession],
    tenant_id: UUID,
    users: Collection[UUID],
    *,
    with_strangers: bool,
    is_sealing: bool,
) -> dict[UUID, str]:
    """Tell of each who may not be imported, why: who was deleted, and strangers.

    Where people's words are sealed strangers are refused whatever is said: they have no key.
    """
    query = select(SubjectLedger.user_id, SubjectLedger.state).where(
        SubjectLedger.tenant_id == tenant_id, SubjectLedger.user_id.in_(users)
    )
    async with database.session(tenant_id) as session:
        states: dict[UUID, str] = {row[0]: row[1] for row in await session.execute(query)}
    refused = {one: DELETED for one, state in states.items() if state == "deleted"}
    if is_sealing or not with_strangers:
        words = WITHOUT_KEY if is_sealing else UNKNOWN
        refused |= {one: words for one in users if one not in states}
    return refused
