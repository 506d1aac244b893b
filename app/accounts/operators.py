"""An operator acts from the command line through the same services as the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from app.accounts.models import Tenant, User
from app.accounts.new_users import NewUser, NewUserService
from app.accounts.passwords import Passwords, own_names
from app.accounts.tenants import TenantService
from app.accounts.users import Change, UserService
from app.databases.database import Databases
from app.databases.sessions import UserSession
from app.http.errors import NotFound
from app.http.security import PLATFORM_TENANT, Principal, Role

NOBODY = UUID(int=0)
EVERYTHING = 1_000_000  # rows of a list


class Operators:
    """Each method is a transaction of its own. Raises the services' Problems."""

    def __init__(self, databases: Databases, passwords: Passwords) -> None:
        self._database = databases.user
        self._passwords = passwords

    async def ensure_tenant(self, name: str) -> None:
        async with self._database.session() as session:
            tenants = TenantService(session)
            try:
                await tenants.enter_named(name)
            except NotFound:
                await tenants.add(operator(), name)

    async def create_tenant(self, name: str) -> Tenant:
        async with self._database.session() as session:
            return await TenantService(session).add(operator(), name)

    async def tenants(self) -> Sequence[Tenant]:
        async with self._database.session() as session:
            return await TenantService(session).page(limit=EVERYTHING, after=None)

    async def create_user(
        self, username: str, email: str, password: str, roles: Sequence[Role]
    ) -> User:
        """`username` in full; a tenant `platform` is made on the way if it is not there."""
        names = own_names(username, email)
        password_hash = await self._passwords.hash_new(password, names, field="password")
        if tenant_of(username) == PLATFORM_TENANT:
            await self.ensure_tenant(PLATFORM_TENANT)
        async with self._database.session() as session:
            new = NewUser(username=username, email=email, password_hash=password_hash, roles=roles)
            return await NewUserService(session).add(operator(), new)

    async def ensure_administrator(self, username: str, email: str, password: str) -> bool:
        """Create them where they are not there. False for one who has another password by now."""
        try:
            async with self._database.session() as session:
                stored = (await named_user(session, username)).password_hash
        except NotFound:
            await self.create_user(username, email, password, [Role.ADMIN])
            return True
        return await self._passwords.verify(stored, password)

    async def users(self, tenant_name: str | None) -> Sequence[Any]:
        async with self._database.session() as session:
            tenant_id = None
            if tenant_name is not None:
                tenant_id = (await TenantService(session).enter_named(tenant_name)).id
            users = UserService(session)
            return await users.page(operator(), tenant_id=tenant_id, limit=EVERYTHING, after=None)

    async def set_password(self, username: str, password: str) -> None:
        """Every token of theirs ends."""
        password_hash = await self._passwords.hash_new(
            password, own_names(username), field="password"
        )
        async with self._database.session() as session:
            user = await named_user(session, username)
            actor = operator(user.tenant_id)
            await UserService(session).set_password(actor, user.id, password_hash)

    async def set_email(self, username: str, email: str) -> None:
        await self._change(username, Change(email=email))

    async def set_roles(self, username: str, roles: Sequence[Role]) -> None:
        await self._change(username, Change(roles=roles))

    async def _change(self, username: str, change: Change) -> None:
        async with self._database.session() as session:
            user = await named_user(session, username)
            await UserService(session).change(operator(user.tenant_id), user.id, change)

    async def delete_user(self, username: str) -> UUID:
        """Everything they said is erased afterwards, by a relay."""
        async with self._database.session() as session:
            user = await named_user(session, username)
            await UserService(session).remove(operator(user.tenant_id), user.id)
            return user.id

    async def delete_tenant(self, name: str) -> int:
        """Delete the tenant with all its users, and tell how many there were."""
        async with self._database.session() as session:
            tenants = TenantService(session)
            tenant = await tenants.enter_named(name)
            return await tenants.remove(operator(), tenant.id)

    async def block(self, username: str, reason: str | None) -> None:
        async with self._database.session() as session:
            user = await named_user(session, username)
            await UserService(session).block(operator(user.tenant_id), user.id, reason)

    async def unblock(self, username: str) -> None:
        async with self._database.session() as session:
            user = await named_user(session, username)
            await UserService(session).unblock(operator(user.tenant_id), user.id)


async def named_user(session: UserSession, username: str) -> User:
    """Enter the user's tenant and read them; raises NotFound with the name that is not there."""
    tenant = await TenantService(session).enter_named(tenant_of(username))
    user = await UserService(session).named(tenant, username)
    if user is None:
        raise NotFound(f"There is no user named {username}.")
    return user


def tenant_of(username: str) -> str:
    parts = username.split("\\")
    if len(parts) != 3 or parts[0]:
        raise NotFound(f"{username} is no username in full, such as \\acme\\alice.")
    return parts[1].lower()


def operator(tenant_id: UUID = NOBODY) -> Principal:
    """Whoever holds the database's credentials may do what an administrator of the tenant may."""
    return Principal(NOBODY, tenant_id, "\\platform\\operator", frozenset({Role.ADMIN}))
