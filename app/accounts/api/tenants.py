"""Tenants over HTTP, for administrators of the platform."""

from __future__ import annotations

from uuid import UUID

from litestar import Controller, Response
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from app.accounts import schemas
from app.accounts.api import services
from app.accounts.api.requests import Call, once_for
from app.accounts.tenants import TenantService
from app.databases.sessions import UserSession
from app.http.exchange import response
from app.http.idempotency import Key
from app.http.openapi import problems
from app.http.paging import After, Limit, Place, cut, place_after
from app.http.routes import delete, get, patch, post
from app.http.security import platform
from app.http.structs import to_struct


class TenantController(Controller):
    path = "/tenants"
    tags = ["tenants"]
    guards = [platform]
    dependencies = {"tenants": services.tenants}

    @post("/", responses=problems(403, 409))
    async def create_tenant(
        self,
        request: Call,
        data: JSONBody[schemas.NewTenant],
        tenants: NamedDependency[TenantService],
        user_session: NamedDependency[UserSession],
        idempotency_key: Key = None,
    ) -> Response[schemas.Tenant]:
        """Create a tenant.

        It is empty; its first user, with the role `tenant_admin`, is created by you as well.
        """
        once = await once_for(request, user_session, idempotency_key)
        if stored := await once.stored():
            await tenants.recheck(request.user)
            return response(stored)
        tenant = await tenants.add(request.user, data.name)
        return response(await once.keep(to_struct(schemas.Tenant, tenant)))

    @get("/", responses=problems(403))
    async def list_tenants(
        self, tenants: NamedDependency[TenantService], limit: Limit = 50, after: After = None
    ) -> schemas.TenantPage:
        """List tenants, oldest first.

        In pages of at most `limit`; take `next` of one page as `after` for the following.
        """
        this = "tenants"
        rows = await tenants.page(limit=limit, after=place_after(after, this))
        page, following = cut(rows, limit, lambda tenant: Place(tenant.created_at, tenant.id), this)
        return schemas.TenantPage(to_struct(list[schemas.Tenant], page), following)

    @get("/{tenant_id:uuid}", responses=problems(403, 404))
    async def get_tenant(
        self, tenant_id: FromPath[UUID], tenants: NamedDependency[TenantService]
    ) -> schemas.Tenant:
        """Read a tenant.

        Its name cannot be changed: every username in it begins with it.
        """
        return to_struct(schemas.Tenant, await tenants.enter(tenant_id))

    @patch("/{tenant_id:uuid}", responses=problems(403, 404))
    async def change_tenant(
        self,
        request: Call,
        tenant_id: FromPath[UUID],
        data: JSONBody[schemas.TenantChange],
        tenants: NamedDependency[TenantService],
    ) -> schemas.Tenant:
        """Change how long a tenant's conversations are kept.

        Those that nobody has changed for more than `retention_days` are deleted for good, by the
        next sweep; reading is no change. null keeps them until somebody deletes them. What is left
        out stays.
        """
        tenant = await tenants.set_retention(request.user, tenant_id, data.retention_days)
        return to_struct(schemas.Tenant, tenant)

    @delete("/{tenant_id:uuid}", status_code=202, responses=problems(403, 404, 409))
    async def delete_tenant(
        self, request: Call, tenant_id: FromPath[UUID], tenants: NamedDependency[TenantService]
    ) -> Response[schemas.TenantErasure]:
        """Delete a tenant and all its users.

        Their tokens end now; their conversations are erased next. `Location` lists the erasures.
        """
        removed = await tenants.remove(request.user, tenant_id)
        location = {"Location": f"/v1/erasures?tenant_id={tenant_id}"}
        return Response(schemas.TenantErasure(tenant_id, "pending", removed), headers=location)
