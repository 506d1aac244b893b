"""Users: what may be done with them, and by whom.

Whoever is not a platform administrator acts in their own tenant only; what is not there is
NotFound, so that nothing can be learned of another tenant. A platform administrator enters the
tenant of whom they act on, and is held by row level security from there on. In which order a
change locks what it reads, authority.py says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from advanced_alchemy.service import SQLAlchemyAsyncRepositoryService
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict

from app.accounts.audit import Action, Audit
from app.accounts.authority import Authority, check_rank
from app.accounts.domains import undisguised
from app.accounts.models import SubjectLedger, Tenant, User
from app.accounts.new_users import in_full, parts
from app.accounts.repositories import (
    BlockRepository,
    HoldRepository,
    LedgerRepository,
    TenantLock,
    TenantRepository,
    UserRepository,
)
from app.accounts.token_repository import TokenRepository
from app.databases.sealing.master_keys import WrappedKey
from app.databases.sessions import UserSession
from app.http.errors import Conflict, Unauthenticated, found
from app.http.paging import Place
from app.http.security import Principal, Role


class Change(Struct, frozen=True, kw_only=True):
    """The facts to change; what is UNSET stays. `username` may be their own part alone."""

    username: str | UnsetType = UNSET
    email: str | UnsetType | None = UNSET
    roles: Sequence[Role] | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET

    def values_in(self, tenant_name: str) -> dict[str, Any]:
        """Give the columns to be set. Raises Conflict for the username of another tenant."""
        given = {name: value for name, value in asdict(self).items() if value is not UNSET}
        if "username" in given:
            given["username"] = in_full(tenant_name, given["username"])
        if given.get("email"):
            given["email"] = undisguised(given["email"])
        if "roles" in given:
            given["roles"] = sorted(set(given["roles"]))
        return given

    def is_made_of(self, user: User) -> bool:
        """The user is as this would make them."""
        wanted = self.values_in(parts(user.username)[0])
        return all(getattr(user, name) == value for name, value in wanted.items())


class UserService(SQLAlchemyAsyncRepositoryService[User, UserRepository]):
    """Raises NotFound, Forbidden and Conflict; Unauthenticated for who was shut out meanwhile."""

    repository_type = UserRepository

    def __init__(self, session: UserSession) -> None:
        super().__init__(session)
        self._authority = Authority(session)
        self._audit = Audit(session)
        self._tenants = TenantRepository(session)
        self._tokens = TokenRepository(session)
        self._blocks = BlockRepository(session)
        self._holds = HoldRepository(session=session)
        self._ledger = LedgerRepository(session)

    async def page(
        self,
        actor: Principal,
        *,
        limit: int,
        after: Place | None,
        tenant_id: UUID | None = None,
    ) -> Sequence[Any]:
        """List users, oldest first; one more than `limit` if there are more.

        An administrator of the platform sees everybody, unless `tenant_id` names one tenant.
        """
        if actor.is_admin and tenant_id is None:
            return await self.repository.page_of_all(rows=limit + 1, after=after)
        return await self.repository.page(tenant_id or actor.tenant_id, rows=limit + 1, after=after)

    async def one(self, actor: Principal, user_id: UUID) -> User:
        tenant_id = await self._tenant_of(actor, user_id)
        await self._tenants.enter(tenant_id)
        return found(await self.repository.find(tenant_id, user_id))

    async def one_with_key(self, actor: Principal, user_id: UUID) -> tuple[User, WrappedKey | None]:
        """Find a user with the wrapped key of what they said, for whoever exports it."""
        tenant_id = await self._tenant_of(actor, user_id)
        await self._tenants.enter(tenant_id)
        return found(await self.repository.find_with_key(tenant_id, user_id))

    async def named(self, tenant: Tenant, username: str) -> User | None:
        """Find a user by name, in full."""
        return await self.repository.named(tenant.id, username)

    async def own(self, person: Principal) -> User:
        return self._still_there(await self.repository.find(person.tenant_id, person.user_id))

    async def change(self, actor: Principal, user_id: UUID, change: Change) -> User:
        """Whoever is made inactive is logged out."""
        tenant, user = await self.for_change(actor, user_id)
        before = _facts(user)
        if change.roles is not UNSET:
            self._authority.check_grant(actor, tenant, change.roles)
            await self._authority.keep_an_administrator(actor, user, but=change.roles)
        if change.is_active is False:
            await self._authority.keep_an_administrator(actor, user)
            await self._tokens.end_all(user_id)
        for name, value in change.values_in(tenant.name).items():
            setattr(user, name, value)
        changes = [action for action, fact in _facts(user).items() if fact != before[action]]
        await self._audit.note(actor, user_id, *changes)
        return await self.repository.save(user)

    async def block(self, actor: Principal, user_id: UUID, reason: str | None) -> User:
        """No token of theirs is good from the commit on."""
        _, user = await self.for_change(actor, user_id)
        await self._authority.keep_an_administrator(actor, user)
        user.is_blocked = True
        await self._blocks.put(user, reason, actor.user_id)
        await self._tokens.end_all(user_id)
        await self._audit.note(actor, user_id, Action.USER_BLOCKED)
        return await self.repository.save(user)

    async def unblock(self, actor: Principal, user_id: UUID) -> User:
        _, user = await self.for_change(actor, user_id)
        user.is_blocked = False
        await self._blocks.lift(user_id)
        await self._audit.note(actor, user_id, Action.USER_UNBLOCKED)
        return await self.repository.save(user)

    async def set_password(self, actor: Principal, user_id: UUID, password_hash: str) -> None:
        """Every token of theirs ends."""
        _, user = await self.for_change(actor, user_id)
        await self._replace_hash(actor, user, password_hash)

    async def set_own_password(self, person: Principal, password_hash: str, *, was: str) -> None:
        """Every other token of theirs ends. Raises Conflict if the hash `was` another."""
        user = await self._own_locked(person)
        if user.password_hash != was:
            raise Conflict("The password was changed meanwhile.")
        await self._replace_hash(person, user, password_hash, keep=person.token_digest)

    async def _replace_hash(
        self, actor: Principal, user: User, password_hash: str, *, keep: bytes | None = None
    ) -> None:
        user.password_hash = password_hash
        user.must_change_password = actor.user_id != user.id
        await self._tokens.end_all(user.id, keep=keep)
        await self._audit.note(actor, user.id, Action.PASSWORD_CHANGED)
        await self.repository.save(user)

    async def remove(self, actor: Principal, user_id: UUID) -> SubjectLedger:
        """Delete the user with all personal data and tokens; the ledger's entry is the request."""
        _, user = await self.for_change(actor, user_id)
        return await self._remove(actor, user)

    async def remove_own(self, person: Principal) -> SubjectLedger:
        await self._entered(person.tenant_id, TenantLock.QUEUE)
        return await self._remove(person, await self._own_locked(person))

    async def _remove(self, actor: Principal, user: User) -> SubjectLedger:
        if hold := await self._holds.of(user.tenant_id, user.id):
            raise Conflict(
                f"There is a legal hold on this user since {hold.placed_at:%Y-%m-%d}:"
                f" /v1/users/{user.id}/hold. Nobody can delete them until it is lifted."
            )
        await self._authority.keep_an_administrator(actor, user)
        await self.repository.remove(user.id)
        await self._audit.note(actor, user.id, Action.USER_DELETED)
        return found(await self._ledger.entry(user.tenant_id, user.id))

    async def for_change(self, actor: Principal, user_id: UUID) -> tuple[Tenant, User]:
        """Lock the user, and their tenant, until the end of the transaction; look at the actor."""
        tenant = await self._entered(await self._tenant_of(actor, user_id), TenantLock.QUEUE)
        user = found(await self.repository.find(tenant.id, user_id, lock=True))
        await self._authority.recheck(actor)
        check_rank(actor, user)
        return tenant, user

    async def _own_locked(self, person: Principal) -> User:
        user = await self.repository.find(person.tenant_id, person.user_id, lock=True)
        await self._authority.recheck_own(person)
        return self._still_there(user)

    def _still_there(self, person: User | None) -> User:
        if person is None:
            raise Unauthenticated
        return person

    async def _entered(self, tenant_id: UUID, lock: TenantLock) -> Tenant:
        await self._tenants.enter(tenant_id)
        return found(await self._tenants.find(tenant_id, lock))

    async def _tenant_of(self, actor: Principal, user_id: UUID) -> UUID:
        """Find the tenant to look in: for a platform administrator, that of whom they act on."""
        if not actor.is_admin or user_id == actor.user_id:
            return actor.tenant_id
        return found(await self.repository.tenant_of(user_id))


def _facts(user: User) -> dict[Action, object]:
    """Give what each kind of change is about, to be compared before and after."""
    return {
        Action.USER_CHANGED: (user.username, user.email, user.is_active),
        Action.ROLES_CHANGED: sorted(user.roles),
    }
