"""Tenants: made, listed and deleted by platform administrators."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from advanced_alchemy.service import SQLAlchemyAsyncRepositoryService
from litestar.di import NamedDependency
from sqlalchemy import delete, func, select, text
from uuid_utils.compat import uuid7

from app.accounts.models import Tenant, User
from app.databases.sessions import UserSession, act_in_tenant
from app.http.errors import Conflict, NotFound
from app.http.security import PLATFORM_TENANT

TENANT_NAMED = text("SELECT tenant_named(:name)")
TENANTS_PAGE = text("SELECT * FROM platform_tenants(:after, :limit)")


class TenantRepository(SQLAlchemyAsyncRepository[Tenant]):
    model_type = Tenant


class TenantService(SQLAlchemyAsyncRepositoryService[Tenant, TenantRepository]):
    """Each method ends acting in the tenant it was about. Raises NotFound."""

    repository_type = TenantRepository

    @property
    def session(self) -> UserSession:
        session = self.repository.session
        assert isinstance(session, UserSession)  # noqa: S101  # ours was passed in
        return session

    async def add(self, name: str) -> Tenant:
        tenant = Tenant(id=uuid7(), name=name)
        await act_in_tenant(self.session, tenant.id)
        return await self.create(tenant, auto_refresh=False)

    async def page(self, *, limit: int, after: UUID | None) -> Sequence[Tenant]:
        """Oldest first, one more than `limit` if there are more."""
        query = select(Tenant).from_statement(TENANTS_PAGE)
        rows = await self.session.scalars(query, {"after": after, "limit": limit + 1})
        return rows.all()

    async def enter(self, tenant_id: UUID) -> Tenant:
        """The tenant, and from here on the session acts in it."""
        await act_in_tenant(self.session, tenant_id)
        tenant = await self.session.get(Tenant, tenant_id)
        if tenant is None:
            raise NotFound
        return tenant

    async def enter_named(self, name: str) -> Tenant:
        tenant_id = await self.session.scalar(TENANT_NAMED, {"name": name})
        if tenant_id is None:
            raise NotFound(f"There is no tenant named {name}.")
        return await self.enter(tenant_id)

    async def remove(self, tenant_id: UUID) -> int:
        """Deletes the tenant with all its users; answers how many there were."""
        tenant = await self.enter(tenant_id)
        if tenant.name == PLATFORM_TENANT:
            raise Conflict("The platform's own tenant cannot be deleted.")
        users = await self.session.scalar(select(func.count()).select_from(User))
        await self.session.execute(delete(Tenant).where(Tenant.id == tenant_id))
        return users or 0


def tenants(user_session: NamedDependency[UserSession]) -> TenantService:
    return TenantService(session=user_session)
