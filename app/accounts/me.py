"""Login, and what one may do with one's own account."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, Response, get, post, put
from litestar.di import NamedDependency, Provide
from litestar.params import JSONBody

from app.accounts import schemas
from app.accounts.api import Call, accepted, own_names, to
from app.accounts.login import Authenticator, log_out
from app.accounts.passwords import check_password
from app.accounts.users import UserService, users
from app.databases.sessions import UserSession
from app.http.openapi import problems
from app.http.security import PUBLIC, Passwords, signed_in


class AuthController(Controller):
    path = "/auth"
    tags = ["auth"]

    @post("/login", status_code=200, security=PUBLIC, responses=problems(401, 429, 503))
    async def log_in(
        self,
        request: Request[None, None, Any],
        data: JSONBody[schemas.Login],
        auth: NamedDependency[Authenticator],
    ) -> schemas.Token:
        """Trade a username, in full, and a password for an access token."""
        grant = await auth.log_in(data.username, data.password, _address(request))
        return schemas.Token(grant.token, "bearer", grant.expires_at)

    @post("/logout", status_code=204, guards=[signed_in])
    async def log_out(self, request: Call, user_session: NamedDependency[UserSession]) -> None:
        """End the token this request was made with."""
        await log_out(user_session, request.user.token_digest)


class MeController(Controller):
    path = "/me"
    tags = ["me"]
    guards = [signed_in]
    dependencies = {"users": Provide(users, sync_to_thread=False)}

    @get("/")
    async def get_me(self, request: Call, users: NamedDependency[UserService]) -> schemas.User:
        """Read your own account."""
        return to(schemas.User, await users.own(request.user))

    @put("/password", status_code=204, responses=problems(403, 409, 429))
    async def change_password(
        self,
        request: Call,
        data: JSONBody[schemas.PasswordChange],
        users: NamedDependency[UserService],
        passwords: NamedDependency[Passwords],
        auth: NamedDependency[Authenticator],
    ) -> None:
        """Change your password; your other tokens end."""
        was = await auth.confirm(request.user, data.current_password, _address(request))
        user = await users.own(request.user)
        await users.release()
        names = own_names(user.username, user.email)
        check_password(data.new_password, names, path="new_password")
        renewed = await passwords.hash(data.new_password)
        keep = request.user.token_digest
        await users.set_password(request.user, renewed, was=was, keep=keep)

    @post("/erasure", status_code=202, responses=problems(403, 409, 429))
    async def erase_me(
        self,
        request: Call,
        data: JSONBody[schemas.CurrentPassword],
        users: NamedDependency[UserService],
        auth: NamedDependency[Authenticator],
    ) -> Response[schemas.Erasure]:
        """Delete yourself. Your tokens end now; your conversations are erased next."""
        await auth.confirm(request.user, data.current_password, _address(request))
        return accepted(await users.remove(request.user, request.user.user_id))


def _address(request: Request[Any, Any, Any]) -> str:
    return request.client.host if request.client else ""
