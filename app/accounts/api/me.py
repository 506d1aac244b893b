"""One's own account over HTTP."""

from __future__ import annotations

from litestar import Controller, Response
from litestar.di import NamedDependency
from litestar.params import JSONBody

from app.accounts import schemas
from app.accounts.api import services
from app.accounts.api.erasures import accepted
from app.accounts.api.requests import Call, address_of
from app.accounts.own_account import OwnAccount
from app.accounts.users import UserService
from app.http.openapi import problems
from app.http.routes import get, post, put
from app.http.security import reads_chat, signed_in
from app.http.structs import to_struct


class MeController(Controller):
    path = "/me"
    tags = ["me"]
    dependencies = {"users": services.users, "own_account": services.own_account}

    @get("/", guards=[reads_chat])
    async def get_me(self, request: Call, users: NamedDependency[UserService]) -> schemas.Account:
        """Read your own account.

        Your tenant, username, e-mail address and roles, and whether an administrator chose your
        password, so that you should change it.
        """
        return to_struct(schemas.Account, await users.own(request.user))

    @put("/password", guards=[signed_in], status_code=204, responses=problems(403, 409, 429))
    async def change_password(
        self,
        request: Call,
        data: JSONBody[schemas.PasswordChange],
        own_account: NamedDependency[OwnAccount],
    ) -> None:
        """Change your password.

        The token of this request lives on; your other tokens end.
        """
        current, new = data.current_password, data.new_password
        await own_account.change_password(request.user, current, new, address=address_of(request))

    @post("/erasure", guards=[signed_in], status_code=202, responses=problems(403, 409, 429))
    async def erase_me(
        self,
        request: Call,
        data: JSONBody[schemas.CurrentPassword],
        own_account: NamedDependency[OwnAccount],
    ) -> Response[schemas.Erasure]:
        """Delete yourself.

        Your tokens end now; your conversations are erased next. `Location` tells an administrator
        how far that is.
        """
        password, address = data.current_password, address_of(request)
        return accepted(await own_account.erase(request.user, password, address=address))
