"""Users: what may be done with them, and by whom.

Whoever is not a platform administrator acts in their own tenant only; what is not there is
NotFound, so that nothing can be learned of another tenant. A platform administrator enters the
tenant of whom they act on, and is held by row level security from there on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from advanced_alchemy.service import SQLAlchemyAsyncRepositoryService
from uuid_utils.compat import uuid7

from app.accounts.models import SubjectLedger, Tenant, User
from app.accounts.passwords import own_names
from app.accounts.repositories import (
    BlockRepository,
    LedgerRepository,
    TokenRepository,
    UserRepository,
)
from app.accounts.tenants import TenantService
from app.databases.sessions import UserSession
from app.http.errors import Conflict, Forbidden, NotFound, found
from app.http.security import PLATFORM_TENANT, Principal, Role

ADMINISTRATORS = frozenset({Role.TENANT_ADMIN, Role.ADMIN})


class UserService(SQLAlchemyAsyncRepositoryService[User, UserRepository]):
    """Raises NotFound, Forbidden and Conflict."""

    repository_type = UserRepository

    def __init__(self, session: UserSession) -> None:
        super().__init__(session)
        self._tenants = TenantService(session)
        self._tokens = TokenRepository(session)
        self._blocks = BlockRepository(session)
        self._ledger = LedgerRepository(session)

    def names_of_new(self, actor: Principal, username: str, email: str) -> list[str]:
        """List what a new user's password may not be made of."""
        in_full = username if "\\" in username else f"{actor.username}\\{username}"
        return own_names(in_full, email)

    async def add(
        self,
        actor: Principal,
        *,
        tenant_id: UUID | None,
        username: str,
        email: str,
        password_hash: str,
        roles: Sequence[Role],
    ) -> User:
        """Create a user. Without `tenant_id`, a platform administrator's full username says where.

        `username` is in full, or the user's own part of it.
        """
        tenant, username = await self._home(actor, tenant_id, username)
        _check_grant(actor, tenant, roles)
        user = User(
            id=uuid7(),
            tenant_id=tenant.id,
            username=username,
            email=email,
            password_hash=password_hash,
            roles=sorted(set(roles)),
        )
        return await self.create(user)

    async def _home(
        self, actor: Principal, tenant_id: UUID | None, username: str
    ) -> tuple[Tenant, str]:
        """Find where a new user belongs, and their name in full. Enters that tenant."""
        named, _, own = username.removeprefix("\\").rpartition("\\")
        if not actor.is_admin and tenant_id not in (None, actor.tenant_id):
            raise NotFound
        if actor.is_admin and tenant_id is None and named:
            tenant = await self._tenants.enter_named(named)
        else:
            tenant = await self._tenants.enter(tenant_id or actor.tenant_id)
        if named and named != tenant.name:
            raise Conflict("The username names another tenant than the user's.")
        return tenant, f"\\{tenant.name}\\{own}"

    async def page(
        self,
        actor: Principal,
        *,
        limit: int,
        after: UUID | None,
        tenant_id: UUID | None = None,
    ) -> Sequence[Any]:
        """Oldest first, one more than `limit` if there are more.

        An administrator of the platform sees everybody, unless `tenant_id` names one tenant.
        """
        if actor.is_admin and tenant_id is None:
            return await self.repository.page_of_all(limit=limit, after=after)
        return await self.repository.page(tenant_id or actor.tenant_id, limit=limit, after=after)

    async def one(self, actor: Principal, user_id: UUID) -> User:
        tenant_id = await self._enter(actor, user_id)
        return found(await self.repository.find(tenant_id, user_id))

    async def named(self, tenant: Tenant, username: str) -> User | None:
        """Find a user by name, in full."""
        return await self.repository.named(tenant.id, username)

    async def own(self, person: Principal) -> User:
        return found(await self.repository.find(person.tenant_id, person.user_id))

    async def change(
        self,
        actor: Principal,
        user_id: UUID,
        *,
        email: str | None,
        roles: Sequence[Role] | None,
        is_active: bool | None,
    ) -> User:
        """Change what is not None. Whoever is made inactive is logged out."""
        user = await self._for_change(actor, user_id)
        if roles is not None:
            _check_grant(actor, await self._tenants.enter(user.tenant_id), roles)
            await self._keep_an_administrator(actor, user, but=roles)
            user.roles = sorted(set(roles))
        if is_active is False:
            await self._keep_an_administrator(actor, user)
            await self._tokens.end_all(user_id)
        user.is_active = user.is_active if is_active is None else is_active
        user.email = user.email if email is None else email
        return await self.repository.save(user)

    async def block(self, actor: Principal, user_id: UUID, reason: str | None) -> User:
        """From the commit on, no token of theirs is good."""
        user = await self._for_change(actor, user_id)
        await self._keep_an_administrator(actor, user)
        user.is_blocked = True
        await self._blocks.put(user, reason, actor.user_id)
        await self._tokens.end_all(user_id)
        return await self.repository.save(user)

    async def unblock(self, actor: Principal, user_id: UUID) -> User:
        user = await self._for_change(actor, user_id)
        user.is_blocked = False
        await self._blocks.lift(user_id)
        return await self.repository.save(user)

    async def remove(self, actor: Principal, user_id: UUID) -> SubjectLedger:
        """Delete the user with all personal data and tokens; the ledger's entry is the request."""
        user = await self._for_change(actor, user_id)
        await self._keep_an_administrator(actor, user)
        await self.repository.remove(user_id)
        return found(await self._ledger.entry(user.tenant_id, user_id))

    async def set_password(
        self, actor: Principal, user_id: UUID, password_hash: str, *, was: str | None = None
    ) -> None:
        """End every token of theirs but the actor's own. Conflict if the hash `was` another."""
        user = await self._for_change(actor, user_id)
        if was is not None and user.password_hash != was:
            raise Conflict("The password was changed meanwhile.")
        user.password_hash = password_hash
        await self._tokens.end_all(user.id, keep=actor.token_digest)
        await self.repository.save(user)

    async def _for_change(self, actor: Principal, user_id: UUID) -> User:
        """Lock the user until the end of the transaction. Raises Forbidden for one above you."""
        tenant_id = await self._enter(actor, user_id)
        await self._tenants.repository.lock(tenant_id)
        user = found(await self.repository.find(tenant_id, user_id, lock=True))
        if Role.ADMIN in user.roles and not actor.is_admin:
            raise Forbidden("Only a platform administrator may change one.")
        return user

    async def _enter(self, actor: Principal, user_id: UUID) -> UUID:
        """Find the tenant to look in; a platform administrator enters that of whom they act on."""
        if not actor.is_admin or user_id == actor.user_id:
            return actor.tenant_id
        tenant_id = found(await self.repository.tenant_of(user_id))
        if tenant_id != actor.tenant_id:
            await self._tenants.repository.enter(tenant_id)
        return tenant_id

    async def _keep_an_administrator(
        self, actor: Principal, user: User, *, but: Sequence[Role] = ()
    ) -> None:
        """Refuses what would leave the tenant, or the platform, without an administrator.

        `but` are the roles the user keeps.
        """
        foreign = actor.is_admin and actor.tenant_id != user.tenant_id
        lost = ADMINISTRATORS.intersection(user.roles).difference(but)
        if foreign or not lost or Role.ADMIN in but:
            return
        needed = [Role.ADMIN] if Role.ADMIN in lost else list(ADMINISTRATORS)
        if not await self.repository.has_another(user, needed):
            raise Conflict("This is the tenant's last administrator; appoint another one first.")


def _check_grant(actor: Principal, tenant: Tenant, roles: Sequence[Role]) -> None:
    if Role.ADMIN not in roles:
        return
    if not actor.is_admin:
        raise Forbidden("Only a platform administrator may grant the role admin.")
    if tenant.name != PLATFORM_TENANT:
        raise Conflict("The role admin exists in the tenant `platform` only.")
