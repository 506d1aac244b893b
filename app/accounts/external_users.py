"""Users whom a product knows by an id of its own, which is theirs alone within their tenant.

It may be sent again and raced. Whoever makes a user under an external id holds the id's lock from
the first statement to the commit, so that the next one finds them. Whoever changes one locks them
as every other change does (authority.py); if they were deleted meanwhile, a new one is made.
"""

from __future__ import annotations

from uuid import UUID

from app.accounts.authority import check_rank, in_reach
from app.accounts.models import User
from app.accounts.new_users import NewUser, NewUserService
from app.accounts.repositories import TenantRepository, UserRepository
from app.accounts.users import Change, UserService
from app.databases.sessions import UserSession
from app.http.errors import NotFound, found
from app.http.security import Principal, Role


class ExternalUserService:
    """Raises what NewUserService and UserService do."""

    def __init__(self, session: UserSession) -> None:
        self._users = UserService(session)
        self._new_users = NewUserService(session)
        self._repository = UserRepository(session)
        self._tenants = TenantRepository(session)

    async def one(self, actor: Principal, external_id: str, *, tenant_id: UUID | None) -> User:
        tenant_id = in_reach(actor, tenant_id)
        await self._tenants.enter(tenant_id)
        return found(await self._repository.known_as(tenant_id, external_id))

    async def put(
        self, actor: Principal, external_id: str, change: Change, *, tenant_id: UUID | None
    ) -> tuple[User, bool]:
        """Make the user, or change them; and tell whether they are new."""
        tenant_id = in_reach(actor, tenant_id)
        await self._tenants.enter(tenant_id)
        await self._repository.lock_external_id(tenant_id, external_id)
        user = await self._repository.known_as(tenant_id, external_id)
        if user is not None:
            try:
                return await self._changed(actor, user, change), False
            except NotFound:  # deleted while we waited for their lock
                pass
        new = NewUser(
            username=change.username or None,
            email=change.email or None,
            roles=change.roles or [Role.MEMBER],
            external_id=external_id,
        )
        return await self._new_users.add_in(actor, new, tenant_id), True

    async def _changed(self, actor: Principal, user: User, change: Change) -> User:
        """A product that sends what is there already makes nobody wait in the tenant's queue."""
        check_rank(actor, user)
        if change.is_made_of(user):
            return user
        return await self._users.change(actor, user.id, change)
