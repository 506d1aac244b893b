"""New users: where they belong, and what they are called there."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from advanced_alchemy.service import SQLAlchemyAsyncRepositoryService
from msgspec import Struct
from uuid_utils.compat import uuid7

from app.accounts.audit import Action, Audit
from app.accounts.authority import Authority, in_reach
from app.accounts.domains import undisguised
from app.accounts.models import Tenant, User
from app.accounts.passwords import own_names
from app.accounts.repositories import TenantLock, TenantRepository, UserRepository
from app.databases.sessions import UserSession
from app.http.errors import Conflict, NotFound, found
from app.http.security import Principal, Role


class NewUser(Struct, frozen=True, kw_only=True):
    """The facts of somebody who is to be made. `username` is in full, or their own part of it.

    Whom a product knows by an `external_id` needs nothing else; without a username they are called
    by their id.
    """

    username: str | None = None
    email: str | None = None
    password_hash: str | None = None
    roles: Sequence[Role] = (Role.MEMBER,)
    external_id: str | None = None


class NewUserService(SQLAlchemyAsyncRepositoryService[User, UserRepository]):
    """Raises NotFound, Forbidden and Conflict; Unauthenticated for who was shut out meanwhile."""

    repository_type = UserRepository

    def __init__(self, session: UserSession) -> None:
        super().__init__(session)
        self._authority = Authority(session)
        self._audit = Audit(session)
        self._tenants = TenantRepository(session)

    def names_of(self, actor: Principal, new: NewUser) -> list[str]:
        """List what a new user's password may not be made of."""
        username = new.username or ""
        in_full = username if "\\" in username else f"{actor.username}\\{username}"
        return [*own_names(in_full, new.email or ""), new.external_id or ""]

    async def recheck(self, actor: Principal) -> None:
        """Look at the actor again, before what they were answered once is answered again."""
        await self._authority.recheck(actor)

    async def add(self, actor: Principal, new: NewUser, *, tenant_id: UUID | None = None) -> User:
        """Create a user. Without `tenant_id`, a platform administrator's full username says where.

        An external id is locked first, so that whoever puts a user under it sees this one.
        """
        tenant_id = await self._home(actor, tenant_id, new.username)
        await self._tenants.enter(tenant_id)
        if new.external_id is not None:
            await self.repository.lock_external_id(tenant_id, new.external_id)
        return await self.add_in(actor, new, tenant_id)

    async def add_in(self, actor: Principal, new: NewUser, tenant_id: UUID) -> User:
        """Create a user in the tenant that the session acts in."""
        tenant = found(await self._tenants.find(tenant_id, TenantLock.KEEP))
        await self._authority.recheck(actor)
        self._authority.check_grant(actor, tenant, new.roles)
        user = await self.create(_user(tenant, new))
        await self._audit.note(actor, user.id, Action.USER_CREATED)
        return user

    async def _home(self, actor: Principal, tenant_id: UUID | None, username: str | None) -> UUID:
        """Find where a new user belongs."""
        named, _ = parts(username or "")
        if actor.is_admin and tenant_id is None and named:
            tenant_id = await self._tenants.id_named(named)
            if tenant_id is None:
                raise NotFound(f"There is no tenant named {named}.")
        return in_reach(actor, tenant_id)


def _user(tenant: Tenant, new: NewUser) -> User:
    user_id = uuid7()
    return User(
        id=user_id,
        tenant_id=tenant.id,
        username=in_full(tenant.name, new.username or str(user_id)),
        email=new.email and undisguised(new.email),
        password_hash=new.password_hash,
        must_change_password=bool(new.password_hash),
        roles=sorted(set(new.roles)),
        external_id=new.external_id,
    )


def in_full(tenant_name: str, username: str) -> str:
    """Raises Conflict for a username that names another tenant."""
    named, own = parts(username)
    if named and named != tenant_name:
        raise Conflict("The username names another tenant than the user's.")
    return f"\\{tenant_name}\\{own}"


def parts(username: str) -> tuple[str, str]:
    """Take a username apart: the tenant's name, if it is there, and the user's own part."""
    named, _, own = username.removeprefix("\\").rpartition("\\")
    return named, own
