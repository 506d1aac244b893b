"""An administrator's rights are looked at again when the rows are locked.

A Principal is as old as its request: while that waited for a password's hash or for a row, its
actor may have been blocked, deleted or demoted. So each transaction that changes something takes
its locks in this order, and looks at the actor under the last one:

1. the tenant (TenantLock), in which all changes of users queue, but for one's own password;
2. the user who is to be changed, if there is one, FOR UPDATE;
3. the actor, FOR SHARE, and the actor's token, FOR KEY SHARE (lock_actor); of an API key the row,
   FOR KEY SHARE (lock_key).

It cannot end in a deadlock. Whoever holds 3 waits for nobody. Whoever waits at 3 waits for a
transaction that changes the actor, holds their tenant, and so is not one that waits for us: those
who change users of one tenant queue at 1, and only administrators of the platform, whom nobody
outside its tenant changes, act in another tenant than their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from app.accounts.models import Tenant, User
from app.accounts.repositories import UserRepository
from app.accounts.token_repository import TokenRepository
from app.databases.sessions import UserSession
from app.http.errors import Conflict, Forbidden, NotFound, Unauthenticated
from app.http.security import ADMINISTRATORS, PLATFORM_TENANT, Principal, Role


class Authority:
    def __init__(self, session: UserSession) -> None:
        self._tokens = TokenRepository(session)
        self._users = UserRepository(session)

    async def recheck(self, actor: Principal) -> None:
        """Hold the actor as the administrator, or the API key, they were when they were looked up.

        Raises Unauthenticated and Forbidden.
        """
        await self._hold(actor, ADMINISTRATORS.intersection(actor.roles))

    async def recheck_own(self, person: Principal) -> None:
        """Hold somebody who acts on their own account, for which no role is needed."""
        await self._hold(person, frozenset())

    async def _hold(self, actor: Principal, needed: frozenset[Role]) -> None:
        if not actor.token_digest:  # an operator, who came with the database's own credentials
            return
        if actor.key_id is not None:
            if not await self._tokens.lock_key(actor.token_digest, actor.person_id):
                raise Unauthenticated
            return
        roles = await self._tokens.lock_actor(actor.user_id, actor.token_digest)
        if roles is None:
            raise Unauthenticated
        if not needed.issubset(roles):
            raise Forbidden

    def check_grant(self, actor: Principal, tenant: Tenant, roles: Sequence[Role]) -> None:
        """Raises Forbidden or Conflict for a role that this actor, or this tenant, cannot give."""
        if actor.key_id is not None and not ADMINISTRATORS.isdisjoint(roles):
            raise Forbidden("An API key cannot make administrators.")
        if Role.ADMIN not in roles:
            return
        if not actor.is_admin:
            raise Forbidden("Only a platform administrator may grant the role admin.")
        if tenant.name != PLATFORM_TENANT:
            raise Conflict("The role admin exists in the tenant `platform` only.")

    async def keep_an_administrator(
        self, actor: Principal, user: User, *, but: Sequence[Role] = ()
    ) -> None:
        """Raises Conflict for what would leave the tenant, or the platform, without one.

        `but` are the roles the user keeps.
        """
        foreign = actor.is_admin and actor.tenant_id != user.tenant_id
        lost = ADMINISTRATORS.intersection(user.roles).difference(but)
        if foreign or not lost or Role.ADMIN in but:
            return
        needed = [Role.ADMIN] if Role.ADMIN in lost else list(ADMINISTRATORS)
        if not await self._users.has_another(user, needed):
            raise Conflict("This is the tenant's last administrator; appoint another one first.")


def in_reach(actor: Principal, tenant_id: UUID | None) -> UUID:
    """Return the tenant that is asked for, or else the actor's own.

    Raises NotFound for another's, unless the actor administers the platform.
    """
    if tenant_id is None or tenant_id == actor.tenant_id:
        return actor.tenant_id
    if not actor.is_admin:
        raise NotFound
    return tenant_id


def check_rank(actor: Principal, user: User) -> None:
    """Raises Forbidden for a user above the actor, who changes and exports nothing of theirs."""
    if actor.key_id is not None and not ADMINISTRATORS.isdisjoint(user.roles):
        raise Forbidden("An API key has no power over administrators.")
    if Role.ADMIN in user.roles and not actor.is_admin:
        raise Forbidden("Only a platform administrator has power over another one.")
