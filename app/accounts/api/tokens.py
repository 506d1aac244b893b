"""Tokens over HTTP: one's own, and those that an administrator or a product mints for people."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from litestar import Controller
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from app.accounts import caller_schemas as schemas
from app.accounts.api import services
from app.accounts.api.requests import Call
from app.accounts.caller_models import AccessToken
from app.accounts.schemas import Token
from app.accounts.token_service import TokenService
from app.http.openapi import problems
from app.http.paging import After, Limit, Place, cut, place_after
from app.http.routes import delete, get, post
from app.http.security import Role, Scope, person, requires

owner = person(Scope.TOKENS)
minters = requires(Role.TENANT_ADMIN, Role.ADMIN, scopes=[Scope.TOKENS])
USUAL = (schemas.TokenScope.CHAT_READ, schemas.TokenScope.CHAT_WRITE)


class TokenController(Controller):
    tags = ["tokens"]
    dependencies = {"tokens": services.tokens}

    @get("/me/tokens", guards=[owner])
    async def list_my_tokens(
        self,
        request: Call,
        tokens: NamedDependency[TokenService],
        limit: Limit = 50,
        after: After = None,
    ) -> schemas.TokenPage:
        """List your tokens, newest first.

        Each is where you are logged in, or was minted for one of your devices. In pages of at most
        `limit`; take `next` of one page as `after` for the following.
        """
        this = ("tokens", request.user.user_id)
        rows = await tokens.own(request.user, limit=limit, after=place_after(after, *this))
        page, following = cut(rows, limit, _place, *this)
        current = request.user.token_digest
        return schemas.TokenPage([_shown(token, current) for token in page], following)

    @delete("/me/tokens/{token_id:uuid}", guards=[owner], responses=problems(404))
    async def end_my_token(
        self, request: Call, token_id: FromPath[UUID], tokens: NamedDependency[TokenService]
    ) -> None:
        """End one of your tokens.

        It is refused from this answer on; the one that this request was made with may be it.
        """
        await tokens.end_own(request.user, token_id)

    @post("/users/{user_id:uuid}/tokens", guards=[minters], responses=problems(403, 404))
    async def mint_token(
        self,
        request: Call,
        user_id: FromPath[UUID],
        data: JSONBody[schemas.NewToken],
        tokens: NamedDependency[TokenService],
    ) -> Token:
        """Mint a token for a user's own device.

        A browser reads and writes that user's conversations with it, and does nothing else. Without
        `scopes` it has `chat:read` and `chat:write`; messages of other roles than `user` need
        `chat:write:any` as well. It ends after `expires_in` seconds, or with the API key that
        minted it. A user has 100 tokens at most; the oldest goes.
        """
        scopes = [Scope(one) for one in data.scopes or USUAL]
        lifetime = timedelta(seconds=data.expires_in)
        grant = await tokens.mint(request.user, user_id, lifetime, scopes)
        return Token(grant.token, "bearer", grant.expires_at)

    @delete("/users/{user_id:uuid}/tokens", guards=[minters], responses=problems(403, 404))
    async def end_tokens(
        self, request: Call, user_id: FromPath[UUID], tokens: NamedDependency[TokenService]
    ) -> None:
        """End all of a user's tokens.

        They are logged out everywhere, and may log in again.
        """
        await tokens.end_all(request.user, user_id)


def _place(token: AccessToken) -> Place:
    return Place(token.created_at, token.id)


def _shown(token: AccessToken, current: bytes) -> schemas.TokenInfo:
    return schemas.TokenInfo(
        id=token.id,
        created_at=token.created_at,
        last_used_at=token.last_used_at,
        expires_at=token.expires_at,
        kind="login" if token.scopes is None else "minted",
        is_current=token.digest == current,
    )
