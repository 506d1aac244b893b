"""Parts of a request that the controllers of this room read."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar
from uuid import UUID

from litestar import Request
from litestar.params import QueryParameter
from msgspec import UNSET, UnsetType

from app.databases.sessions import UserSession
from app.http.idempotency import Once, keyed
from app.http.security import Principal

T = TypeVar("T")
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


def given(value: T | UnsetType) -> T | None:
    """None for a field that was not sent."""
    return None if value is UNSET else value
