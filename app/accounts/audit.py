"""Audit events tell who did what to whom, in ids alone; those of a hold tell its reason, too.

Each is written in the transaction of what it tells of: committed with it, or rolled back with it.
There is nothing here that changes or deletes one; a relay deletes those that were kept long enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from advanced_alchemy.service import SQLAlchemyAsyncRepositoryReadService
from sqlalchemy import TextClause, insert, select, text

from app.accounts.authority import in_reach
from app.accounts.caller_models import AuditEvent
from app.accounts.repositories import TenantRepository
from app.databases.repository import Repository
from app.databases.sessions import UserSession
from app.http.errors import FieldError, Invalid
from app.http.security import Principal
from app.telemetry.context import current_request

EVERYWHERE = text("SELECT * FROM platform_audit_page(:before, :actor, :target, :action, :rows)")
# A planner that takes a filter's events for few would fetch all of them, and sort them for a page.
ALONG_AN_INDEX = text(
    "SELECT set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true)"
)
EXPORTED = text("SELECT * FROM exported_audit_events(:tenant, :after, :rows)")
OF_PERSON = text("SELECT * FROM person_audit_events(:person, :after, :rows)")


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
    """Each of these leaves an event; what follows from it by itself leaves none of its own."""

    LOGIN = "login"
    PASSWORD_CHANGED = "password.changed"  # noqa: S105  # a name
    USER_CREATED = "user.created"
    USER_CHANGED = "user.changed"
    ROLES_CHANGED = "roles.changed"
    USER_BLOCKED = "user.blocked"
    USER_UNBLOCKED = "user.unblocked"
    USER_DELETED = "user.deleted"
    USER_EXPORTED = "user.exported"
    HOLD_PLACED = "hold.placed"
    HOLD_CHANGED = "hold.changed"
    HOLD_LIFTED = "hold.lifted"
    TOKEN_MINTED = "token.minted"  # noqa: S105  # a name
    TOKEN_ENDED = "token.ended"  # noqa: S105  # a name
    API_KEY_CREATED = "api_key.created"
    API_KEY_DELETED = "api_key.deleted"
    TENANT_CREATED = "tenant.created"
    TENANT_DELETED = "tenant.deleted"
    TENANT_RETENTION_CHANGED = "tenant.retention_changed"
    SEAL_KEYS_ROTATED = "seal_keys.rotated"

    @property
    def target_type(self) -> TargetType:
        """Give the kind of target: a tenant or a key where the action's name says so, else a user.

        The user is the one whose token, roles, password or hold it is.
        """
        match self.partition(".")[0]:
            case TargetType.TENANT | TargetType.API_KEY as noun:
                return TargetType(noun)
            case "seal_keys":
                return TargetType.TENANT  # the platform's
            case _:
                return TargetType.USER


class Actor(NamedTuple):
    """Names who did it: an API key may have, on behalf of a person."""

    type: ActorType
    id: UUID | None = None
    on_behalf_of: UUID | None = None


class Filter(NamedTuple):
    """At most one is not None: each has an index of its own, and no two have one together."""

    actor: UUID | None = None
    target: UUID | None = None
    action: Action | None = None

    @classmethod
    def of(cls, actor: UUID | None, target: UUID | None, action: Action | None) -> Filter:
        """Raises Invalid for more than one."""
        wanted = cls(actor, target, action)
        names = [name for name, value in wanted._asdict().items() if value is not None]
        if len(names) > 1:
            only = "Send at most one of actor, target and action."
            raise Invalid(errors=[FieldError(name, only) for name in names])
        return wanted


class AuditRepository(Repository[AuditEvent]):
    model_type = AuditEvent

    async def add_all(self, rows: list[dict[str, Any]]) -> None:
        """Add them in one statement; PostgreSQL gives each its id and time."""
        await self.session.execute(insert(AuditEvent).values(rows))

    async def page(
        self, tenant_id: UUID, wanted: Filter, *, rows: int, before: UUID | None
    ) -> Sequence[AuditEvent]:
        """Read a page, newest first by ids: PostgreSQL makes them, and they begin with the time."""
        await self.session.execute(ALONG_AN_INDEX)
        query = select(AuditEvent).where(AuditEvent.tenant_id == tenant_id)
        columns = (AuditEvent.actor_id, AuditEvent.target_id, AuditEvent.action)
        for column, value in zip(columns, wanted, strict=True):
            if value is not None:
                query = query.where(column == value)
        if before is not None:
            query = query.where(AuditEvent.id < before)
        return (await self.session.scalars(query.order_by(AuditEvent.id.desc()).limit(rows))).all()

    async def page_of_all(
        self, wanted: Filter, *, rows: int, before: UUID | None
    ) -> Sequence[AuditEvent]:
        """Read a page of the whole platform's events likewise."""
        values = wanted._asdict() | {"before": before, "rows": rows}
        return await self._all(EVERYWHERE, values)

    async def about(self, person: UUID, *, rows: int, after: UUID | None) -> Sequence[AuditEvent]:
        """Read what they did, was done to them, or on their behalf, in any tenant; oldest first."""
        return await self._all(OF_PERSON, {"person": person, "after": after, "rows": rows})

    async def exported(
        self, tenant_id: UUID | None, *, rows: int, after: UUID | None
    ) -> Sequence[AuditEvent]:
        """Read one tenant's events, or everybody's; oldest first."""
        return await self._all(EXPORTED, {"tenant": tenant_id, "after": after, "rows": rows})

    async def _all(self, function: TextClause, values: dict[str, Any]) -> Sequence[AuditEvent]:
        query = select(AuditEvent).from_statement(function)
        return (await self.session.scalars(query, values)).all()


class Audit:
    """Writes events in the caller's transaction."""

    def __init__(self, session: UserSession) -> None:
        self._session = session
        self._events = AuditRepository(session)

    async def note(
        self,
        actor: Principal | Actor,
        target_id: UUID,
        *actions: Action,
        reason: str | None = None,
    ) -> None:
        """Add an event for each action, in one statement.

        They belong to the tenant that the session acts in, which is the target's; row level
        security would refuse another.
        """
        await self._note(actor, [(target_id, action) for action in actions], reason)

    async def note_all(
        self, actor: Principal | Actor, target_ids: Iterable[UUID], action: Action
    ) -> None:
        """Add the same event for each target likewise."""
        await self._note(actor, [(target_id, action) for target_id in target_ids])

    async def _note(
        self,
        actor: Principal | Actor,
        events: Sequence[tuple[UUID, Action]],
        reason: str | None = None,
    ) -> None:
        who = _actor(actor) if isinstance(actor, Principal) else actor
        request = current_request.get()
        same = {
            "tenant_id": self._session.info["tenant_id"],
            "actor_type": who.type,
            "actor_id": who.id,
            "on_behalf_of": who.on_behalf_of,
            "request_id": None if request is None else request.request_id,
            "reason": reason,
        }
        rows = [
            same | {"target_id": target_id, "action": action, "target_type": action.target_type}
            for target_id, action in events
        ]
        if rows:
            await self._events.add_all(rows)


def _actor(principal: Principal) -> Actor:
    if principal.key_id is not None:
        return Actor(ActorType.API_KEY, principal.key_id, principal.person_id)
    if not principal.token_digest:  # who came with the database's own credentials
        return Actor(ActorType.OPERATOR)
    return Actor(ActorType.USER, principal.user_id)


class AuditService(SQLAlchemyAsyncRepositoryReadService[AuditEvent, AuditRepository]):
    """Shows tenant administrators their tenant's events, platform administrators all of them.

    Raises NotFound for every other tenant's.
    """

    repository_type = AuditRepository

    def __init__(self, session: UserSession) -> None:
        super().__init__(session)
        self._tenants = TenantRepository(session)

    async def page(
        self,
        actor: Principal,
        tenant_id: UUID | None,
        wanted: Filter,
        *,
        limit: int,
        before: UUID | None,
    ) -> Sequence[AuditEvent]:
        """Read a page, newest first; one more than `limit` if there are more."""
        if actor.is_admin and tenant_id is None:
            return await self.repository.page_of_all(wanted, rows=limit + 1, before=before)
        tenant_id = in_reach(actor, tenant_id)
        await self._tenants.enter(tenant_id)
        return await self.repository.page(tenant_id, wanted, rows=limit + 1, before=before)
