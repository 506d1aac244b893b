"""Tenants and users over HTTP, for those who administer them."""

from __future__ import annotations

from typing import Any, TypeVar
from uuid import UUID

from litestar import Controller, Request, Response, delete, get, patch, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody
from msgspec import UNSET, UnsetType, convert

from app.accounts import schemas
from app.accounts.models import SubjectLedger
from app.accounts.passwords import check_password
from app.accounts.tenants import TenantService, tenants
from app.accounts.users import UserService, users
from app.databases.sessions import UserSession
from app.http.idempotency import Key, Once, keyed, response
from app.http.openapi import problems
from app.http.paging import After, Limit, cut, uuid_after
from app.http.security import Passwords, Principal, Role, administrators, platform

T = TypeVar("T")
Call = Request[Principal, Any, Any]


class TenantController(Controller):
    path = "/tenants"
    tags = ["tenants"]
    guards = [platform]
    dependencies = {"tenants": Provide(tenants, sync_to_thread=False)}

    @post("/", responses=problems(403, 409))
    async def create_tenant(
        self,
        request: Call,
        data: JSONBody[schemas.NewTenant],
        tenants: NamedDependency[TenantService],
        user_session: NamedDependency[UserSession],
        idempotency_key: Key = None,
    ) -> Response[schemas.Tenant]:
        """Create a tenant."""
        once = await _once(request, user_session, idempotency_key)
        if stored := await once.stored():
            return response(stored)
        return response(await once.keep(to(schemas.Tenant, await tenants.add(data.name))))

    @get("/", responses=problems(403))
    async def list_tenants(
        self, tenants: NamedDependency[TenantService], limit: Limit = 50, after: After = None
    ) -> schemas.TenantPage:
        """List tenants, oldest first."""
        rows = await tenants.page(limit=limit, after=uuid_after(after))
        page, following = cut(rows, limit, lambda tenant: tenant.id)
        return schemas.TenantPage(to(list[schemas.Tenant], page), following)

    @get("/{tenant_id:uuid}", responses=problems(403, 404))
    async def get_tenant(
        self, tenant_id: FromPath[UUID], tenants: NamedDependency[TenantService]
    ) -> schemas.Tenant:
        """Read a tenant."""
        return to(schemas.Tenant, await tenants.enter(tenant_id))

    @delete("/{tenant_id:uuid}", status_code=202, responses=problems(403, 404, 409))
    async def delete_tenant(
        self, tenant_id: FromPath[UUID], tenants: NamedDependency[TenantService]
    ) -> Response[schemas.TenantErasure]:
        """Delete a tenant and all its users; their conversations are erased next."""
        removed = await tenants.remove(tenant_id)
        location = {"Location": f"/v1/erasures?tenant_id={tenant_id}"}
        return Response(schemas.TenantErasure(tenant_id, "pending", removed), headers=location)


class UserController(Controller):
    path = "/users"
    tags = ["users"]
    guards = [administrators]
    dependencies = {"users": Provide(users, sync_to_thread=False)}

    @post("/", responses=problems(403, 404, 409))
    async def create_user(
        self,
        request: Call,
        data: JSONBody[schemas.NewUser],
        users: NamedDependency[UserService],
        passwords: NamedDependency[Passwords],
        user_session: NamedDependency[UserSession],
        idempotency_key: Key = None,
    ) -> Response[schemas.User]:
        """Create a user in your tenant, or, for a platform administrator, in any."""
        home = (
            data.username if "\\" in data.username else f"{request.user.username}\\{data.username}"
        )
        check_password(data.password, own_names(home, data.email), path="password")
        # Before the first statement: hashing must not hold a connection.
        password_hash = await passwords.hash(data.password)
        once = await _once(request, user_session, idempotency_key)
        if stored := await once.stored(passwords):
            return response(stored)
        tenant, username = await users.tenant_for(request.user, data.tenant_id, data.username)
        user = await users.add(
            request.user,
            tenant,
            username=username,
            email=data.email,
            password_hash=password_hash,
            roles=data.roles or [Role.MEMBER],
        )
        return response(await once.keep(to(schemas.User, user), about=user.id))

    @get("/", responses=problems(403))
    async def list_users(
        self,
        request: Call,
        users: NamedDependency[UserService],
        limit: Limit = 50,
        after: After = None,
    ) -> schemas.UserPage:
        """List your tenant's users, or, for a platform administrator, all; oldest first."""
        rows = await users.page(request.user, limit=limit, after=uuid_after(after))
        page, following = cut(rows, limit, lambda user: user.id)
        return schemas.UserPage(to(list[schemas.User], page), following)

    @get("/{user_id:uuid}", responses=problems(403, 404))
    async def get_user(
        self, request: Call, user_id: FromPath[UUID], users: NamedDependency[UserService]
    ) -> schemas.User:
        """Read a user."""
        return to(schemas.User, await users.one(request.user, user_id))

    @patch("/{user_id:uuid}", responses=problems(403, 404, 409))
    async def change_user(
        self,
        request: Call,
        user_id: FromPath[UUID],
        data: JSONBody[schemas.UserChange],
        users: NamedDependency[UserService],
    ) -> schemas.User:
        """Change a user's e-mail address, roles or activity; a user made inactive is logged out."""
        changed = await users.change(
            request.user,
            user_id,
            email=given(data.email),
            roles=given(data.roles),
            is_active=given(data.is_active),
        )
        return to(schemas.User, changed)

    @delete("/{user_id:uuid}", status_code=202, responses=problems(403, 404, 409))
    async def delete_user(
        self, request: Call, user_id: FromPath[UUID], users: NamedDependency[UserService]
    ) -> Response[schemas.Erasure]:
        """Delete a user. Their tokens end now; their conversations are erased next."""
        return accepted(await users.remove(request.user, user_id))

    @post("/{user_id:uuid}/block", status_code=200, responses=problems(403, 404, 409))
    async def block_user(
        self,
        request: Call,
        user_id: FromPath[UUID],
        users: NamedDependency[UserService],
        data: JSONBody[schemas.Block | None] = None,
    ) -> schemas.User:
        """Block a user: from this answer on, every token of theirs is refused."""
        reason = data.reason if data else None
        return to(schemas.User, await users.block(request.user, user_id, reason))

    @post("/{user_id:uuid}/unblock", status_code=200, responses=problems(403, 404))
    async def unblock_user(
        self, request: Call, user_id: FromPath[UUID], users: NamedDependency[UserService]
    ) -> schemas.User:
        """Unblock a user, who may then log in again."""
        return to(schemas.User, await users.unblock(request.user, user_id))


async def _once(request: Call, session: UserSession, key: str | None) -> Once:
    kept_seconds = request.app.state.settings.idempotency_kept_seconds
    return Once(session, request.user, await keyed(request, key), kept_seconds=kept_seconds)


def to(shape: type[T], row: object) -> T:
    return convert(row, shape, from_attributes=True)


def given(value: T | UnsetType) -> T | None:
    return None if value is UNSET else value


def own_names(username: str, email: str) -> list[str]:
    """What a password may not be made of: tenant, own part, and the e-mail address's parts."""
    return [*username.strip("\\").split("\\"), *email.split("@")]


def erasure(entry: SubjectLedger) -> schemas.Erasure:
    return schemas.Erasure(
        user_id=entry.user_id,
        tenant_id=entry.tenant_id,
        state="complete" if entry.delivered_rev >= entry.rev else "pending",
        requested_at=entry.changed_at,
        completed_at=entry.completed_at,
        chat_sessions=entry.chat_sessions,
        messages=entry.messages,
        receipt=entry.receipt,
    )


def accepted(entry: SubjectLedger) -> Response[schemas.Erasure]:
    location = {"Location": f"/v1/erasures/{entry.user_id}"}
    return Response(erasure(entry), status_code=202, headers=location)
