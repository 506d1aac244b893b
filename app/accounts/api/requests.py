"""Parts of a request that the controllers of this room read."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from litestar import Request
from litestar.params import QueryParameter

from app.databases.sessions import UserSession
from app.http.idempotency import Once, keyed
from app.http.security import Principal

Call = Request[Principal, Any, Any]
Anyone = Request[None, None, Any]
OneTenant = Annotated[
    UUID | None, QueryParameter(description="Only this tenant's, for a platform administrator.")
]


def address_of(request: Request[Any, Any, Any]) -> str:
    return request.client.host if request.client else ""


async def once_for(request: Call, session: UserSession, key: str | None) -> Once:
    """Tell a retry of this request by its `Idempotency-Key`, if it has one."""
    kept_seconds = request.app.state.settings.idempotency_kept_seconds
    sent = await keyed(request, key) if key else None
    return Once(session, request.user, sent, kept_seconds=kept_seconds)
