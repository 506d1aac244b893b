"""Audit events over HTTP, for those who administer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

from litestar import Controller
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import UNSET, Meta, Struct, UnsetType

from app.accounts.api import services
from app.accounts.api.requests import Call, OneTenant
from app.accounts.audit import Action, ActorType, AuditService, Filter
from app.http.openapi import problems
from app.http.paging import After, Limit, Place, cut, place_after
from app.http.routes import get
from app.http.security import administrators

# Plain strings, not enumerations: clients of today must read what a later version adds.
AuditAction = Annotated[
    str,
    Meta(
        description="What was done; today one of the values of the list's parameter `action`.",
        examples=[Action.USER_CREATED.value],
    ),
]
TargetKind = Annotated[
    str, Meta(description="Today `user`, `tenant` or `api_key`.", examples=["user"])
]
OfActor = Annotated[UUID | None, QueryParameter(description="Only what this user or API key did.")]
OnTarget = Annotated[
    UUID | None, QueryParameter(description="Only what was done to this user, tenant or API key.")
]
OfAction = Annotated[Action | None, QueryParameter(description="Only events of this action.")]


class AuditActor(Struct, frozen=True):
    """Operators, at the command line, have no id."""

    type: ActorType
    id: UUID | None


class AuditTarget(Struct, frozen=True):
    type: TargetKind
    id: UUID | None


class AuditEvent(Struct, frozen=True):
    """It tells, in ids alone, who did what to whom, and for whom an API key did it.

    Only an event of a legal hold has a `reason`: that of the hold.
    """

    id: UUID
    at: datetime
    actor: AuditActor
    on_behalf_of: UUID | None
    action: AuditAction
    target: AuditTarget
    request_id: str | None
    reason: str | UnsetType = UNSET


class AuditEventPage(Struct, frozen=True):
    items: list[AuditEvent]
    next: str | None


E = TypeVar("E", bound=AuditEvent)


def shown(rows: Sequence[Any], shape: type[E]) -> list[E]:
    """Give what the API shows of events: not their tenant."""
    return [
        shape(
            id=row.id,
            at=row.at,
            actor=AuditActor(row.actor_type, row.actor_id),
            on_behalf_of=row.on_behalf_of,
            action=row.action,
            target=AuditTarget(row.target_type, row.target_id),
            request_id=row.request_id,
            reason=UNSET if row.reason is None else row.reason,
        )
        for row in rows
    ]


class AuditController(Controller):
    path = "/audit-events"
    tags = ["audit"]
    guards = [administrators]
    dependencies = {"audit": services.audit}

    @get("/", responses=problems(403, 404))
    async def list_audit_events(
        self,
        request: Call,
        audit: NamedDependency[AuditService],
        actor: OfActor = None,
        target: OnTarget = None,
        action: OfAction = None,
        tenant_id: OneTenant = None,
        limit: Limit = 50,
        after: After = None,
    ) -> AuditEventPage:
        """List audit events, newest first.

        Your tenant's, or, for a platform administrator, all or one tenant's; of one `actor`,
        `target` or `action`, if you like. In pages of at most `limit`; take `next` of one page as
        `after` for the following.
        """
        wanted = Filter.of(actor, target, action)
        this = "audit-events", request.user.tenant_id, tenant_id, *wanted
        start = place_after(after, *this)
        rows = await audit.page(
            request.user, tenant_id, wanted, limit=limit, before=start and start.id
        )
        page, following = cut(rows, limit, lambda event: Place(event.at, event.id), *this)
        return AuditEventPage(shown(page, AuditEvent), following)
