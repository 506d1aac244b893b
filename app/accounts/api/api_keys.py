"""API keys over HTTP, for a tenant's administrators."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from litestar import Controller
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec.structs import asdict

from app.accounts import caller_schemas as schemas
from app.accounts.api import services
from app.accounts.api.requests import Call
from app.accounts.api_keys import ApiKeyService
from app.http.openapi import problems
from app.http.paging import After, Limit, Place, cut, place_after
from app.http.routes import delete, get, post
from app.http.security import Scope, administrators
from app.http.structs import to_struct

OfTenant = Annotated[
    UUID | None, QueryParameter(description="Only this tenant's, for a platform administrator.")
]


class ApiKeyController(Controller):
    path = "/api-keys"
    tags = ["api keys"]
    guards = [administrators]
    dependencies = {"api_keys": services.api_keys}

    @post("/", responses=problems(403, 404))
    async def create_api_key(
        self,
        request: Call,
        data: JSONBody[schemas.NewApiKey],
        api_keys: NamedDependency[ApiKeyService],
    ) -> schemas.MadeApiKey:
        """Make an API key.

        Your product's backend sends it as `Authorization: Bearer …`, with `On-Behalf-Of` naming the
        person it acts for. The key is in this answer and nowhere else: an `Idempotency-Key` would
        have to keep it, so there is none here. Scopes never change: to roll over, make another key.
        """
        made = await api_keys.make(
            request.user,
            tenant_id=data.tenant_id,
            name=data.name,
            scopes=[Scope(one) for one in data.scopes],
            expires_at=data.expires_at,
        )
        stored = to_struct(schemas.ApiKey, made.stored)
        return schemas.MadeApiKey(**asdict(stored), key=made.text)

    @get("/", responses=problems(403, 404))
    async def list_api_keys(
        self,
        request: Call,
        api_keys: NamedDependency[ApiKeyService],
        tenant_id: OfTenant = None,
        limit: Limit = 50,
        after: After = None,
    ) -> schemas.ApiKeyPage:
        """List API keys, oldest first.

        Your tenant's, or, for a platform administrator, all or one tenant's. In pages of at most
        `limit`; take `next` of one page as `after` for the following.
        """
        this = ("api keys", tenant_id)
        rows = await api_keys.page(
            request.user, tenant_id=tenant_id, limit=limit, after=place_after(after, *this)
        )
        page, following = cut(rows, limit, lambda key: Place(key.created_at, key.id), *this)
        return schemas.ApiKeyPage(to_struct(list[schemas.ApiKey], page), following)

    @get("/{key_id:uuid}", responses=problems(403, 404))
    async def get_api_key(
        self, request: Call, key_id: FromPath[UUID], api_keys: NamedDependency[ApiKeyService]
    ) -> schemas.ApiKey:
        """Read an API key.

        Its name, its scopes and when it was last used; never the key itself.
        """
        return to_struct(schemas.ApiKey, await api_keys.one(request.user, key_id))

    @delete("/{key_id:uuid}", responses=problems(403, 404))
    async def delete_api_key(
        self, request: Call, key_id: FromPath[UUID], api_keys: NamedDependency[ApiKeyService]
    ) -> None:
        """End an API key.

        From this answer on it is refused, and so is every token that it minted.
        """
        await api_keys.end(request.user, key_id)
