"""Audit events tell who did what to whom, in ids alone.

Each is written in the transaction of what it tells of: committed with it, or rolled back with it.
There is nothing here that changes or deletes one; a relay deletes those that were kept long enough.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import insert

from app.accounts.caller_models import AuditEvent
from app.databases.repository import Repository
from app.databases.sessions import UserSession
from app.http.security import Principal
from app.telemetry.context import current_request


class ActorType(StrEnum):
    USER = "user"
    API_KEY = "api_key"
    OPERATOR = "operator"  # by a command; nobody knows who
    RELAY = "relay"


class TargetType(StrEnum):
    USER = "user"
    TENANT = "tenant"
    API_KEY = "api_key"


class Action(StrEnum):
    """Every action that leaves an event. What follows from one by itself, such as the end of a
    blocked user's tokens, leaves none of its own."""

    LOGIN = "login"
    PASSWORD_CHANGED = "password.changed"  # noqa: S105  # a name
    USER_CREATED = "user.created"
    USER_CHANGED = "user.changed"
    ROLES_CHANGED = "roles.changed"
    USER_BLOCKED = "user.blocked"
    USER_UNBLOCKED = "user.unblocked"
    USER_DELETED = "user.deleted"
    USER_EXPORTED = "user.exported"
    TOKEN_MINTED = "token.minted"  # noqa: S105  # a name
    TOKEN_ENDED = "token.ended"  # noqa: S105  # a name
    API_KEY_CREATED = "api_key.created"
    API_KEY_DELETED = "api_key.deleted"
    TENANT_CREATED = "tenant.created"
    TENANT_DELETED = "tenant.deleted"

    @property
    def target_type(self) -> TargetType:
        """The target is a tenant or a key where the action's name says so, else a user: they whose
        token, roles or password it is."""
        match self.partition(".")[0]:
            case TargetType.TENANT | TargetType.API_KEY as noun:
                return TargetType(noun)
            case _:
                return TargetType.USER


class Actor(NamedTuple):
    """Whoever did it. An API key may have done it on behalf of a person."""

    type: ActorType
    id: UUID | None = None
    on_behalf_of: UUID | None = None


class AuditRepository(Repository[AuditEvent]):
    model_type = AuditEvent

    async def add_all(self, rows: list[dict[str, Any]]) -> None:
        """Add them in one statement; PostgreSQL gives each its id and time."""
        await self.session.execute(insert(AuditEvent).values(rows))


class Audit:
    """Writes events in the caller's transaction."""

    def __init__(self, session: UserSession) -> None:
        self._session = session
        self._events = AuditRepository(session)

    async def note(self, actor: Principal | Actor, target_id: UUID, *actions: Action) -> None:
        """Add an event for each action, in one statement.

        They belong to the tenant that the session acts in, which is the target's; row level
        security would refuse another.
        """
        who = _actor(actor) if isinstance(actor, Principal) else actor
        request = current_request.get()
        same = {
            "tenant_id": self._session.info["tenant_id"],
            "actor_type": who.type,
            "actor_id": who.id,
            "on_behalf_of": who.on_behalf_of,
            "target_id": target_id,
            "request_id": None if request is None else request.request_id,
        }
        rows = [same | {"action": one, "target_type": one.target_type} for one in actions]
        if rows:
            await self._events.add_all(rows)


def _actor(principal: Principal) -> Actor:
    if principal.key_id is not None:
        person = None if principal.acts_for_nobody else principal.user_id
        return Actor(ActorType.API_KEY, principal.key_id, person)
    if not principal.token_digest:  # who came with the database's own credentials
        return Actor(ActorType.OPERATOR)
    return Actor(ActorType.USER, principal.user_id)
