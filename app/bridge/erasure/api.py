"""Erasures over HTTP: what was asked for, how far it is, the receipt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from msgspec import Struct
from sqlalchemy import select, text

from app.accounts import schemas
from app.accounts.api import Call, erasure
from app.accounts.models import SubjectLedger
from app.accounts.users import TENANT_OF_USER
from app.databases.sessions import UserSession, act_in_tenant
from app.http.errors import NotFound
from app.http.openapi import problems
from app.http.paging import After, Limit, cut, uuid_after
from app.http.security import Principal, administrators

EVERYWHERE = select(SubjectLedger).from_statement(
    text("SELECT * FROM platform_erasures(:after, :limit)")
)
OneTenant = Annotated[
    UUID | None, QueryParameter(description="Only this tenant's, for a platform administrator.")
]


class ErasurePage(Struct, frozen=True):
    items: list[schemas.Erasure]
    next: str | None


class ErasureController(Controller):
    path = "/erasures"
    tags = ["erasures"]
    guards = [administrators]

    @get("/", responses=problems(403, 404))
    async def list_erasures(
        self,
        request: Call,
        user_session: NamedDependency[UserSession],
        tenant_id: OneTenant = None,
        limit: Limit = 50,
        after: After = None,
    ) -> ErasurePage:
        """List your tenant's erasures, or, for a platform administrator, all or one tenant's."""
        start = uuid_after(after)
        rows = await _page(user_session, request.user, tenant_id, limit=limit, after=start)
        page, following = cut(rows, limit, lambda entry: entry.user_id)
        return ErasurePage([erasure(entry) for entry in page], following)

    @get("/{user_id:uuid}", responses=problems(403, 404))
    async def get_erasure(
        self, request: Call, user_id: FromPath[UUID], user_session: NamedDependency[UserSession]
    ) -> schemas.Erasure:
        """Read how far a deleted user's erasure is; once complete, with its receipt."""
        tenant_id = request.user.tenant_id
        if request.user.is_admin:
            tenant_id = await user_session.scalar(TENANT_OF_USER, {"user_id": user_id})
            if tenant_id is None:
                raise NotFound
            await act_in_tenant(user_session, tenant_id)
        entry = await user_session.get(SubjectLedger, (tenant_id, user_id))
        if entry is None or entry.state != "deleted":
            raise NotFound
        return erasure(entry)


async def _page(
    session: UserSession,
    actor: Principal,
    tenant_id: UUID | None,
    *,
    limit: int,
    after: UUID | None,
) -> Sequence[SubjectLedger]:
    """By user id, one more than `limit` if there are more."""
    if actor.is_admin and tenant_id is None:
        values = {"after": after, "limit": limit + 1}
        return (await session.scalars(EVERYWHERE, values)).all()
    if tenant_id not in (None, actor.tenant_id):
        if not actor.is_admin:
            raise NotFound
        await act_in_tenant(session, tenant_id)
    query = select(SubjectLedger).where(
        SubjectLedger.tenant_id == (tenant_id or actor.tenant_id),
        SubjectLedger.state == "deleted",
    )
    if after is not None:
        query = query.where(SubjectLedger.user_id > after)
    return (await session.scalars(query.order_by(SubjectLedger.user_id).limit(limit + 1))).all()
