"""Measures how long a deletion was known to the user database alone.

Had the user database been lost in that time, nothing would know of the deletion. It is the time
since the deletion, by the one server's clock, less the time since the owner was closed, by the
other one's; so it does not matter how far apart the clocks are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text

from app.bridge.erasure import metrics
from app.bridge.rows import fetch_as, rows_as
from app.databases.causes import describe
from app.databases.database import Databases
from app.telemetry import log

DELETED = text("""
SELECT user_id, seconds FROM seconds_since_deletion(:tenant_id, CAST(:user_ids AS uuid[]))
""")
CLOSED = text("""
SELECT user_id, extract(epoch FROM clock_timestamp() - closed_at)::double precision AS seconds
FROM owners WHERE tenant_id = :tenant_id AND user_id = ANY (CAST(:user_ids AS uuid[]))
AND closed_at IS NOT NULL
""")


class Since(NamedTuple):
    """Tells how long ago something happened to a user."""

    user_id: UUID
    seconds: float


async def observe(databases: Databases, tenant_id: UUID, user_ids: Sequence[UUID]) -> None:
    """Observe the lag of these complete erasures. Whatever goes wrong, no erasure fails for it."""
    try:
        await _observe(databases, {"tenant_id": tenant_id, "user_ids": list(user_ids)})
    except Exception as error:  # noqa: BLE001  the erasure is done, only a figure is missing
        log.warning("erasure_lag_unknown", users=len(user_ids), **describe(error))


async def _observe(databases: Databases, values: dict[str, Any]) -> None:
    async with databases.general.session(values["tenant_id"]) as session:
        closed = dict(rows_as(await session.execute(CLOSED, values), Since))
    for user_id, seconds in await fetch_as(Since, databases.user, DELETED, values):
        if user_id in closed:
            metrics.LAG.observe(max(0.0, seconds - closed[user_id]))
