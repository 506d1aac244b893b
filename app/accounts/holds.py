"""Legal holds: placed and lifted by administrators; a relay brings them into force.

What is placed here keeps the account from this commit on. What the user said is kept from the
moment on that `in_force_since` tells: see app/bridge/README.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from app.accounts.audit import Action, Audit
from app.accounts.hold_models import Hold
from app.accounts.repositories import HoldRepository
from app.accounts.users import UserService
from app.databases.sessions import UserSession
from app.http.errors import NotFound
from app.http.security import Principal


class HoldService:
    """Places, reads and lifts holds.

    Raises NotFound and Forbidden; Unauthenticated for an actor who was blocked or deleted
    meanwhile.
    """

    def __init__(self, session: UserSession) -> None:
        self._users = UserService(session)
        self._holds = HoldRepository(session=session)
        self._audit = Audit(session)

    async def place(self, actor: Principal, user_id: UUID, reason: str) -> Hold:
        """Place a hold; where there is one, change its reason alone."""
        _, user = await self._users.for_change(actor, user_id)
        hold = await self._holds.of(user.tenant_id, user_id)
        if hold is None:
            placed_by = actor.user_id if actor.token_digest else None  # operators have no id
            await self._audit.note(actor, user_id, Action.HOLD_PLACED, reason=reason)
            return await self._holds.put(user, reason, placed_by)
        if hold.reason != reason:
            await self._audit.note(actor, user_id, Action.HOLD_CHANGED, reason=reason)
        return await self._holds.change(hold, reason)

    async def one(self, actor: Principal, user_id: UUID) -> Hold:
        user = await self._users.one(actor, user_id)
        return self._there(await self._holds.of(user.tenant_id, user_id))

    async def lift(self, actor: Principal, user_id: UUID) -> None:
        """Lift the hold. What waited for that goes on once a relay has delivered it."""
        _, user = await self._users.for_change(actor, user_id)
        hold = self._there(await self._holds.of(user.tenant_id, user_id))
        await self._audit.note(actor, user_id, Action.HOLD_LIFTED, reason=hold.reason)
        await self._holds.lift(hold)

    async def of_tenant(self, tenant_id: UUID) -> Sequence[tuple[Hold, str]]:
        """Read the holds of the tenant that the session acts in, with usernames."""
        return await self._holds.of_tenant(tenant_id)

    def _there(self, hold: Hold | None) -> Hold:
        if hold is None:
            raise NotFound("There is no legal hold on this user.")
        return hold
