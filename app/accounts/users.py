"""Users: what may be done with them, and by whom.

Whoever is not a platform administrator acts in their own tenant only; what is not there is
NotFound, so that nothing can be learned of another tenant. A platform administrator enters the
tenant of whom they act on, and is held by row level security from there on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from advanced_alchemy.service import SQLAlchemyAsyncRepositoryService
from litestar.di import NamedDependency
from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import array
from uuid_utils.compat import uuid7

from app.accounts.models import AccessToken, SubjectLedger, Tenant, User, UserBlock
from app.accounts.tenants import TenantService
from app.databases.sessions import UserSession, act_in_tenant
from app.http.errors import Conflict, Forbidden, NotFound
from app.http.security import PLATFORM_TENANT, Principal, Role

ADMINISTRATORS = [Role.TENANT_ADMIN.value, Role.ADMIN.value]
TENANT_OF_USER = text("SELECT tenant_of_user(:user_id)")
USERS_PAGE = text("SELECT * FROM platform_users(:after, :limit)")


class UserRepository(SQLAlchemyAsyncRepository[User]):
    model_type = User


class UserService(SQLAlchemyAsyncRepositoryService[User, UserRepository]):
    """Raises NotFound, Forbidden and Conflict."""

    repository_type = UserRepository

    @property
    def session(self) -> UserSession:
        session = self.repository.session
        assert isinstance(session, UserSession)  # noqa: S101  # ours was passed in
        return session

    async def tenant_for(
        self, actor: Principal, tenant_id: UUID | None, username: str
    ) -> tuple[Tenant, str]:
        """Where a new user belongs, and their name in full. Enters that tenant."""
        named, _, own = username.removeprefix("\\").rpartition("\\")
        tenants = TenantService(session=self.session)
        if not actor.is_admin and tenant_id not in (None, actor.tenant_id):
            raise NotFound
        if actor.is_admin and tenant_id is None and named:
            tenant = await tenants.enter_named(named)
        else:
            tenant = await tenants.enter(tenant_id or actor.tenant_id)
        if named and named != tenant.name:
            raise Conflict("The username names another tenant than the user's.")
        return tenant, f"\\{tenant.name}\\{own}"

    async def add(
        self,
        actor: Principal,
        tenant: Tenant,
        *,
        username: str,
        email: str,
        password_hash: str,
        roles: Sequence[Role],
    ) -> User:
        """`username` in full. The session must have entered the tenant."""
        _check_grant(actor, tenant, roles)
        user = User(
            id=uuid7(),
            tenant_id=tenant.id,
            username=username,
            email=email,
            password_hash=password_hash,
            roles=sorted(set(roles)),
        )
        return await self.create(user, auto_refresh=False)

    async def page(self, actor: Principal, *, limit: int, after: UUID | None) -> Sequence[Any]:
        """Oldest first, one more than `limit` if there are more; without password hashes."""
        if actor.is_admin:
            values = {"after": after, "limit": limit + 1}
            return (await self.session.execute(USERS_PAGE, values)).all()
        query = select(User).where(User.tenant_id == actor.tenant_id).order_by(User.id)
        if after is not None:
            query = query.where(User.id > after)
        return (await self.session.scalars(query.limit(limit + 1))).all()

    async def one(self, actor: Principal, user_id: UUID) -> User:
        return await self._row(await self._enter(actor, user_id), user_id)

    async def own(self, actor: Principal, *, lock: bool = False) -> User:
        return await self._row(actor.tenant_id, actor.user_id, lock=lock)

    async def change(
        self,
        actor: Principal,
        user_id: UUID,
        *,
        email: str | None,
        roles: Sequence[Role] | None,
        is_active: bool | None,
    ) -> User:
        user = await self.for_change(actor, user_id)
        if roles is not None:
            _check_grant(actor, await self._tenant(user), roles)
            await self._keep_an_administrator(actor, user, but=roles)
            user.roles = sorted(set(roles))
        if is_active is False:
            await self._keep_an_administrator(actor, user)
            await self.end_tokens(user_id)
        user.is_active = user.is_active if is_active is None else is_active
        user.email = user.email if email is None else email
        return await self._flushed(user)

    async def block(self, actor: Principal, user_id: UUID, reason: str | None) -> User:
        """From the commit on, no token of theirs is good."""
        user = await self.for_change(actor, user_id)
        await self._keep_an_administrator(actor, user)
        user.is_blocked = True
        await self.session.merge(
            UserBlock(
                user_id=user_id,
                tenant_id=user.tenant_id,
                reason=reason,
                blocked_by=actor.user_id,
            )
        )
        await self.end_tokens(user_id)
        return await self._flushed(user)

    async def unblock(self, actor: Principal, user_id: UUID) -> User:
        user = await self.for_change(actor, user_id)
        user.is_blocked = False
        await self.session.execute(delete(UserBlock).where(UserBlock.user_id == user_id))
        return await self._flushed(user)

    async def remove(self, actor: Principal, user_id: UUID) -> SubjectLedger:
        """Deletes the user with all personal data and tokens; the ledger's entry is the request."""
        user = await self.for_change(actor, user_id)
        await self._keep_an_administrator(actor, user)
        await self.session.execute(delete(User).where(User.id == user_id))
        entry = await self.session.get(SubjectLedger, (user.tenant_id, user_id))
        if entry is None:
            raise NotFound
        return entry

    async def set_password(
        self, actor: Principal, password_hash: str, *, was: str, keep: bytes | None
    ) -> None:
        """Every token ends but the one with the digest `keep`. Conflict if it `was` another."""
        user = await self.own(actor, lock=True)
        if user.password_hash != was:
            raise Conflict("The password was changed meanwhile.")
        user.password_hash = password_hash
        await self.end_tokens(user.id, keep)
        await self.session.flush()

    async def release(self) -> None:
        """Gives the connection back, after reading only: hashing a password must not hold one."""
        self.session.expunge_all()
        await self.session.rollback()

    async def end_tokens(self, user_id: UUID, keep: bytes | None = None) -> None:
        query = delete(AccessToken).where(AccessToken.user_id == user_id)
        if keep is not None:
            query = query.where(AccessToken.digest != keep)
        await self.session.execute(query)

    async def _enter(self, actor: Principal, user_id: UUID) -> UUID:
        """The tenant to look in; a platform administrator enters that of whom they act on."""
        if not actor.is_admin:
            return actor.tenant_id
        tenant_id = await self.session.scalar(TENANT_OF_USER, {"user_id": user_id})
        if tenant_id is None:
            raise NotFound
        if tenant_id != actor.tenant_id:
            await act_in_tenant(self.session, tenant_id)
        return tenant_id

    async def for_change(self, actor: Principal, user_id: UUID) -> User:
        """The user, locked until the end of the transaction. Raises Forbidden for one above you."""
        tenant_id = await self._enter(actor, user_id)
        # Before the user's row: two administrators who demote each other must queue here.
        lock = select(Tenant.id).where(Tenant.id == tenant_id).with_for_update(key_share=True)
        await self.session.execute(lock)
        user = await self._row(tenant_id, user_id, lock=True)
        if Role.ADMIN in user.roles and not actor.is_admin:
            raise Forbidden("Only a platform administrator may change one.")
        return user

    async def _row(self, tenant_id: UUID, user_id: UUID, *, lock: bool = False) -> User:
        query = select(User).where(User.tenant_id == tenant_id, User.id == user_id)
        user = await self.session.scalar(query.with_for_update() if lock else query)
        if user is None:
            raise NotFound
        return user

    async def _tenant(self, user: User) -> Tenant:
        return await TenantService(session=self.session).enter(user.tenant_id)

    async def _keep_an_administrator(
        self, actor: Principal, user: User, *, but: Sequence[Role] = ()
    ) -> None:
        """Refuses what would leave the tenant, or the platform, without an administrator.

        `but` are the roles the user keeps.
        """
        foreign = actor.is_admin and actor.tenant_id != user.tenant_id
        lost = _administering(user.roles) - _administering(but)
        if foreign or not lost or Role.ADMIN in but:
            return
        needed = [Role.ADMIN.value] if Role.ADMIN in lost else ADMINISTRATORS
        others = await self.session.scalar(
            select(func.count())
            .select_from(User)
            .where(User.tenant_id == user.tenant_id, User.id != user.id)
            .where(User.is_active, ~User.is_blocked, User.roles.has_any(array(needed)))
        )
        if not others:
            raise Conflict("This is the tenant's last administrator; appoint another one first.")

    async def _flushed(self, user: User) -> User:
        await self.session.flush()
        await self.session.refresh(user, ["updated_at"])
        return user


def _administering(roles: Sequence[str]) -> set[str]:
    return set(ADMINISTRATORS).intersection(roles)


def _check_grant(actor: Principal, tenant: Tenant, roles: Sequence[Role]) -> None:
    if Role.ADMIN not in roles:
        return
    if not actor.is_admin:
        raise Forbidden("Only a platform administrator may grant the role admin.")
    if tenant.name != PLATFORM_TENANT:
        raise Conflict("The role admin exists in the tenant `platform` only.")


def users(user_session: NamedDependency[UserSession]) -> UserService:
    """A plain function: a second generator dependency would lose errors of the commit."""
    return UserService(session=user_session)
