"""What an operator does from the command line, through the same services as the API."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import select

from app.accounts.models import Tenant, User
from app.accounts.passwords import check_password
from app.accounts.tenants import TenantService
from app.accounts.users import UserService
from app.databases.database import Databases
from app.databases.sessions import UserSession
from app.http.errors import NotFound
from app.http.security import PLATFORM_TENANT, Passwords, Principal, Role

NOBODY = UUID(int=0)


class Operators:
    """Each method is a transaction of its own. Raises the service's Problems."""

    def __init__(self, databases: Databases, passwords: Passwords) -> None:
        self._database = databases.user
        self._passwords = passwords

    async def ensure_tenant(self, name: str) -> None:
        async with self._database.session() as session:
            try:
                await TenantService(session=session).enter_named(name)
            except NotFound:
                await TenantService(session=session).add(name)

    async def create_tenant(self, name: str) -> Tenant:
        async with self._database.session() as session:
            return await TenantService(session=session).add(name)

    async def tenants(self) -> Sequence[Tenant]:
        async with self._database.session() as session:
            return await TenantService(session=session).page(limit=1_000_000, after=None)

    async def create_user(
        self, username: str, email: str, password: str, roles: Sequence[Role]
    ) -> User:
        """`username` in full; a tenant `platform` is made on the way if it is not there."""
        names = [*username.strip("\\").split("\\"), *email.split("@")]
        check_password(password, names, path="password")
        password_hash = await self._passwords.hash(password)
        tenant_name = _tenant_of(username)
        if tenant_name == PLATFORM_TENANT:
            await self.ensure_tenant(PLATFORM_TENANT)
        async with self._database.session() as session:
            tenant = await TenantService(session=session).enter_named(tenant_name)
            return await UserService(session=session).add(
                operator(tenant.id),
                tenant,
                username=username,
                email=email,
                password_hash=password_hash,
                roles=roles,
            )

    async def ensure_administrator(self, username: str, email: str, password: str) -> None:
        """There, with this password, whatever it was before."""
        try:
            async with self._user(username) as (_, user):
                stored = user.password_hash
        except NotFound:
            await self.create_user(username, email, password, [Role.ADMIN])
            return
        if not await self._passwords.verify(stored, password):
            await self.set_password(username, password)

    async def users(self, tenant_name: str | None) -> Sequence[Any]:
        async with self._database.session() as session:
            if tenant_name is None:
                everyone = UserService(session=session)
                return await everyone.page(operator(NOBODY), limit=1_000_000, after=None)
            tenant = await TenantService(session=session).enter_named(tenant_name)
            query = select(User).where(User.tenant_id == tenant.id).order_by(User.id)
            return (await session.scalars(query)).all()

    async def set_password(self, username: str, password: str) -> None:
        """Every token of theirs ends."""
        check_password(password, username.strip("\\").split("\\"), path="password")
        password_hash = await self._passwords.hash(password)
        async with self._user(username) as (users, user):
            user.password_hash = password_hash
            await users.end_tokens(user.id)

    async def block(self, username: str, reason: str | None) -> None:
        async with self._user(username) as (users, user):
            await users.block(operator(user.tenant_id), user.id, reason)

    async def unblock(self, username: str) -> None:
        async with self._user(username) as (users, user):
            await users.unblock(operator(user.tenant_id), user.id)

    @asynccontextmanager
    async def _user(self, username: str) -> AsyncGenerator[tuple[UserService, User]]:
        async with self._database.session() as session:
            user = await _named(session, username)
            yield UserService(session=session), user


async def _named(session: UserSession, username: str) -> User:
    tenant = await TenantService(session=session).enter_named(_tenant_of(username))
    query = select(User).where(User.tenant_id == tenant.id, User.username == username)
    user = await session.scalar(query)
    if user is None:
        raise NotFound(f"There is no user named {username}.")
    return user


def _tenant_of(username: str) -> str:
    parts = username.split("\\")
    if len(parts) != 3 or parts[0]:
        raise NotFound(f"{username} is no username in full, such as \\acme\\alice.")
    return parts[1]


def operator(tenant_id: UUID) -> Principal:
    """Whoever holds the database's credentials may do what a platform administrator may."""
    return Principal(NOBODY, tenant_id, "\\platform\\operator", frozenset({Role.ADMIN}))
