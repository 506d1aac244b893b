"""Legal holds over HTTP, for administrators: neither API keys nor minted tokens come here."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from litestar import Controller, Response
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from app.accounts.api import services
from app.accounts.api.requests import Call
from app.accounts.holds import HoldService
from app.accounts.schemas import NO_NUL, Strict
from app.http.openapi import problems
from app.http.routes import delete, get, put
from app.http.security import administrators
from app.http.structs import to_struct

HoldReason = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=1000,
        pattern=NO_NUL,
        description="A file number rather than a name: the audit keeps it, and the user's own"
        " export shows it.",
        examples=["litigation 2026-114"],
    ),
]


class NewHold(Strict, frozen=True):
    reason: HoldReason


class Hold(Struct, frozen=True):
    """A legal hold on a user.

    `placed_by` is null for an operator at the command line. `in_force_since` is null until what
    the user said can be neither changed nor deleted any more.
    """

    user_id: UUID
    tenant_id: UUID
    reason: HoldReason
    placed_by: UUID | None
    placed_at: datetime
    in_force_since: datetime | None


class HoldController(Controller):
    path = "/users/{user_id:uuid}/hold"
    tags = ["holds"]
    guards = [administrators]
    dependencies = {"holds": services.holds}

    @put("/", status_code=202, responses=problems(403, 404))
    async def put_hold(
        self,
        request: Call,
        user_id: FromPath[UUID],
        data: JSONBody[NewHold],
        holds: NamedDependency[HoldService],
    ) -> Response[Hold]:
        """Place a legal hold on a user.

        From this answer on they cannot be deleted, nor their tenant. What they said can be neither
        changed nor deleted, by themselves neither, once `in_force_since` is set: within a second,
        as a rule; read the hold until it is. Sent again, it changes the reason and nothing else.
        """
        hold = await holds.place(request.user, user_id, data.reason)
        where = {"Location": f"/v1/users/{user_id}/hold"}
        return Response(to_struct(Hold, hold), headers=where)

    @get("/", responses=problems(403, 404))
    async def get_hold(
        self, request: Call, user_id: FromPath[UUID], holds: NamedDependency[HoldService]
    ) -> Hold:
        """Read the legal hold on a user.

        404 where there is none.
        """
        return to_struct(Hold, await holds.one(request.user, user_id))

    @delete("/", responses=problems(403, 404))
    async def lift_hold(
        self, request: Call, user_id: FromPath[UUID], holds: NamedDependency[HoldService]
    ) -> None:
        """Lift the legal hold on a user.

        What the hold kept may be changed and deleted again a moment later.
        """
        await holds.lift(request.user, user_id)
