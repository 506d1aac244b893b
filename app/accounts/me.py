"""Login, and what one may do with one's own account."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, Response, get, post, put
from litestar.di import NamedDependency, Provide
from litestar.params import JSONBody

from app.accounts import shapes
from app.accounts.api import Call, accepted, own_names, to
from app.accounts.auth import Authenticator, log_out
from app.accounts.models import User
from app.accounts.passwords import check_password
from app.accounts.service import UserService, users
from app.db import UserSession
from app.errors import Forbidden
from app.openapi import problems
from app.security import ANYONE, Passwords, anyone


class AuthController(Controller):
    path = "/auth"
    tags = ["auth"]

    @post("/login", status_code=200, security=ANYONE, responses=problems(401, 429, 503))
    async def log_in(
        self,
        request: Request[None, None, Any],
        data: JSONBody[shapes.Login],
        auth: NamedDependency[Authenticator],
    ) -> shapes.Token:
        """Trade a username, in full, and a password for an access token."""
        address = request.client.host if request.client else ""
        grant = await auth.log_in(data.username, data.password, address)
        return shapes.Token(grant.token, "bearer", grant.expires_at)

    @post("/logout", status_code=204, guards=[anyone])
    async def log_out(self, request: Call, user_session: NamedDependency[UserSession]) -> None:
        """End the token this request was made with."""
        await log_out(user_session, request.user.token_digest)


class MeController(Controller):
    path = "/me"
    tags = ["me"]
    guards = [anyone]
    dependencies = {"users": Provide(users, sync_to_thread=False)}

    @get("/")
    async def get_me(self, request: Call, users: NamedDependency[UserService]) -> shapes.User:
        """Read your own account."""
        return to(shapes.User, await users.own(request.user))

    @put("/password", status_code=204, responses=problems(403, 409))
    async def change_password(
        self,
        request: Call,
        data: JSONBody[shapes.PasswordChange],
        users: NamedDependency[UserService],
        passwords: NamedDependency[Passwords],
    ) -> None:
        """Change your password; your other tokens end."""
        user = await users.own(request.user)
        await users.release()
        await _confirm(passwords, user, data.current_password)
        names = own_names(user.username, user.email)
        check_password(data.new_password, names, path="new_password")
        renewed = await passwords.hash(data.new_password)
        keep = request.user.token_digest
        await users.set_password(request.user, renewed, was=user.password_hash, keep=keep)

    @post("/erasure", status_code=202, responses=problems(403, 409))
    async def erase_me(
        self,
        request: Call,
        data: JSONBody[shapes.CurrentPassword],
        users: NamedDependency[UserService],
        passwords: NamedDependency[Passwords],
    ) -> Response[shapes.Erasure]:
        """Delete yourself. Your tokens end now; your conversations are erased next."""
        user = await users.own(request.user)
        await users.release()
        await _confirm(passwords, user, data.current_password)
        return accepted(await users.remove(request.user, user.id))


async def _confirm(passwords: Passwords, user: User, password: str) -> None:
    if not await passwords.verify(user.password_hash, password):
        raise Forbidden("The current password is wrong.")
