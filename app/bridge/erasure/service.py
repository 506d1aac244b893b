"""Erasures as administrators see them: how they are fetched, and who may see which."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from advanced_alchemy.service import SQLAlchemyAsyncRepositoryReadService
from litestar.di import NamedDependency
from sqlalchemy import select, text, tuple_

from app.accounts.authority import in_reach
from app.accounts.models import SubjectLedger
from app.accounts.repositories import TenantRepository, UserRepository, place_values
from app.databases.repository import Repository
from app.databases.sessions import UserSession
from app.http.errors import found
from app.http.paging import Place, made_at
from app.http.security import Principal

EVERYWHERE = text("SELECT * FROM platform_erasures_by_time(:at, :id, :made_at, :rows)")

# As the partial indexes have it: a generic plan knows no parameter's value.
DELETED = text("subject_ledger.state = 'deleted'")


class ErasureRepository(Repository[SubjectLedger]):
    """Reads the ledger's entries of deleted users, in the order of their deletion."""

    model_type = SubjectLedger

    async def page(
        self, tenant_id: UUID, *, rows: int, after: Place | None
    ) -> Sequence[SubjectLedger]:
        order = tuple_(SubjectLedger.changed_at, SubjectLedger.user_id)
        query = select(SubjectLedger).where(SubjectLedger.tenant_id == tenant_id, DELETED)
        if after is not None:
            at = after.at or await self._deleted_at(tenant_id, after.id) or made_at(after.id)
            query = query.where(order > (at, after.id))
        return (await self.session.scalars(query.order_by(*order).limit(rows))).all()

    async def _deleted_at(self, tenant_id: UUID, user_id: UUID) -> datetime | None:
        entry = await self.find(tenant_id, user_id)
        return entry and entry.changed_at

    async def page_of_all_tenants(
        self, *, rows: int, after: Place | None
    ) -> Sequence[SubjectLedger]:
        query = select(SubjectLedger).from_statement(EVERYWHERE)
        return (await self.session.scalars(query, place_values(after) | {"rows": rows})).all()

    async def find(self, tenant_id: UUID, user_id: UUID) -> SubjectLedger | None:
        return await self.get_one_or_none(tenant_id=tenant_id, user_id=user_id, state="deleted")


class ErasureService(SQLAlchemyAsyncRepositoryReadService[SubjectLedger, ErasureRepository]):
    """Shows tenant administrators their tenant's erasures, platform administrators all of them.

    Raises NotFound for every other tenant's.
    """

    repository_type = ErasureRepository

    def __init__(self, session: UserSession) -> None:
        super().__init__(session)
        self._tenants = TenantRepository(session)
        self._users = UserRepository(session)

    async def page(
        self, actor: Principal, tenant_id: UUID | None, *, limit: int, after: Place | None
    ) -> Sequence[SubjectLedger]:
        """Return one more than `limit` entries if there are more."""
        if actor.is_admin and tenant_id is None:
            return await self.repository.page_of_all_tenants(rows=limit + 1, after=after)
        wanted = in_reach(actor, tenant_id)
        await self._tenants.enter(wanted)
        return await self.repository.page(wanted, rows=limit + 1, after=after)

    async def one(self, actor: Principal, user_id: UUID) -> SubjectLedger:
        """Return the entry of a user who was deleted."""
        tenant_id = actor.tenant_id
        if actor.is_admin:
            tenant_id = await self._enter_tenant_of(user_id)
        return found(await self.repository.find(tenant_id, user_id))

    async def _enter_tenant_of(self, user_id: UUID) -> UUID:
        tenant_id = found(await self._users.tenant_of(user_id))
        await self._tenants.enter(tenant_id)
        return tenant_id


def erasures(user_session: NamedDependency[UserSession]) -> ErasureService:
    """Provide the service. A generator dependency would be the request's second, and lose errors
    of the commit.
    """
    return ErasureService(user_session)
