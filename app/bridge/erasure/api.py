"""Erasures over HTTP: who was deleted, how far the erasure is, and its receipt."""

from __future__ import annotations

from uuid import UUID

from litestar import Controller
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath
from msgspec import Struct

from app.accounts import schemas
from app.accounts.api.erasures import erasure
from app.accounts.api.requests import Call, OneTenant
from app.bridge.erasure.service import ErasureService, erasures
from app.http.openapi import problems
from app.http.paging import After, Limit, Place, cut, place_after
from app.http.routes import get
from app.http.security import Role, Scope, requires


class ErasurePage(Struct, frozen=True):
    items: list[schemas.Erasure]
    next: str | None


readers = requires(Role.TENANT_ADMIN, Role.ADMIN, scopes=[Scope.USERS_READ, Scope.USERS_ERASE])


class ErasureController(Controller):
    path = "/erasures"
    tags = ["erasures"]
    guards = [readers]
    dependencies = {"erasures": Provide(erasures, sync_to_thread=False)}

    @get("/", responses=problems(403, 404))
    async def list_erasures(
        self,
        request: Call,
        erasures: NamedDependency[ErasureService],
        tenant_id: OneTenant = None,
        limit: Limit = 50,
        after: After = None,
    ) -> ErasurePage:
        """List erasures.

        Your tenant's, or, for a platform administrator, all or one tenant's, oldest first. In pages
        of at most `limit`; take `next` of one page as `after` for the following.
        """
        this = "erasures", request.user.tenant_id, tenant_id
        start = place_after(after, *this)
        rows = await erasures.page(request.user, tenant_id, limit=limit, after=start)
        page, following = cut(
            rows, limit, lambda entry: Place(entry.changed_at, entry.user_id), *this
        )
        return ErasurePage([erasure(entry) for entry in page], following)

    @get("/{user_id:uuid}", responses=problems(403, 404))
    async def get_erasure(
        self, request: Call, user_id: FromPath[UUID], erasures: NamedDependency[ErasureService]
    ) -> schemas.Erasure:
        """Read an erasure.

        How far the erasure of a deleted user's conversations is; once it is complete, how many
        there were, and the receipt that proves it.
        """
        return erasure(await erasures.one(request.user, user_id))
