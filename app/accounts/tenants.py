"""Tenants: made, listed, changed and deleted by platform administrators."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from advanced_alchemy.service import SQLAlchemyAsyncRepositoryService
from msgspec import UNSET, UnsetType
from uuid_utils.compat import uuid7

from app.accounts.audit import Action, Audit
from app.accounts.authority import Authority
from app.accounts.models import Tenant
from app.accounts.repositories import (
    HoldRepository,
    TenantLock,
    TenantRepository,
    UserRepository,
)
from app.databases.sessions import UserSession
from app.http.errors import Conflict, NotFound, found
from app.http.paging import Place
from app.http.security import PLATFORM_TENANT, Principal


class TenantService(SQLAlchemyAsyncRepositoryService[Tenant, TenantRepository]):
    """Each method leaves the session in the tenant that it was about.

    Raises NotFound and Conflict; Unauthenticated and Forbidden for an actor who was blocked,
    deleted or demoted meanwhile.
    """

    repository_type = TenantRepository

    def __init__(self, session: UserSession) -> None:
        super().__init__(session)
        self._authority = Authority(session)
        self._audit = Audit(session)
        self._users = UserRepository(session)
        self._holds = HoldRepository(session=session)

    async def add(self, actor: Principal, name: str) -> Tenant:
        tenant = Tenant(id=uuid7(), name=name)
        await self._authority.recheck(actor)
        await self.repository.enter(tenant.id)
        tenant = await self.create(tenant)
        await self._audit.note(actor, tenant.id, Action.TENANT_CREATED)
        return tenant

    async def page(self, *, limit: int, after: Place | None) -> Sequence[Tenant]:
        """List tenants, oldest first; one more than `limit` if there are more."""
        return await self.repository.page(rows=limit + 1, after=after)

    async def recheck(self, actor: Principal) -> None:
        """Look at the actor again, before what they were answered once is answered again."""
        await self._authority.recheck(actor)

    async def enter(self, tenant_id: UUID, lock: TenantLock | None = None) -> Tenant:
        """Read the tenant, and act in it from here on."""
        await self.repository.enter(tenant_id)
        return found(await self.repository.find(tenant_id, lock))

    async def enter_named(self, name: str) -> Tenant:
        tenant_id = await self.repository.id_named(name)
        if tenant_id is None:
            raise NotFound(f"There is no tenant named {name}.")
        return await self.enter(tenant_id)

    async def set_retention(
        self, actor: Principal, tenant_id: UUID, retention_days: int | UnsetType | None
    ) -> Tenant:
        """Set after how many days without a change conversations are deleted; None is never."""
        tenant = await self.enter(tenant_id, TenantLock.QUEUE)
        await self._authority.recheck(actor)
        if retention_days is UNSET or retention_days == tenant.retention_days:
            return tenant
        tenant.retention_days = retention_days
        await self._audit.note(actor, tenant_id, Action.TENANT_RETENTION_CHANGED)
        return await self.repository.save(tenant)

    async def remove(self, actor: Principal, tenant_id: UUID) -> int:
        """Delete the tenant with all its users; answers how many there were."""
        await self._note_deletion(actor, tenant_id)
        tenant = await self.enter(tenant_id, TenantLock.REMOVE)
        await self._authority.recheck(actor)
        if tenant.name == PLATFORM_TENANT:
            raise Conflict("The platform's own tenant cannot be deleted.")
        if holds := await self._holds.of_tenant(tenant_id):
            first = holds[0][0].user_id
            raise Conflict(
                f"Users of this tenant under a legal hold: {len(holds)}; the first is"
                f" /v1/users/{first}/hold. It cannot be deleted until all are lifted."
            )
        users = await self._users.count()
        await self.repository.remove(tenant_id)
        return users

    async def _note_deletion(self, actor: Principal, tenant_id: UUID) -> None:
        """The event belongs to the platform, if it is there: an operator may have made no users."""
        platform_id = await self.repository.id_named(PLATFORM_TENANT)
        await self.repository.enter(platform_id or tenant_id)
        await self._audit.note(actor, tenant_id, Action.TENANT_DELETED)
