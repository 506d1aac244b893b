"""Login and logout over HTTP."""

from __future__ import annotations

from litestar import Controller
from litestar.di import NamedDependency
from litestar.params import JSONBody

from app.accounts import schemas
from app.accounts.api import services
from app.accounts.api.requests import Anyone, Call, address_of
from app.accounts.login import Login
from app.accounts.token_service import TokenService
from app.edge.lanes import LaneName
from app.http.openapi import problems
from app.http.routes import post
from app.http.security import PUBLIC, person


class AuthController(Controller):
    path = "/auth"
    tags = ["auth"]
    dependencies = {"login": services.login, "tokens": services.tokens}

    @post(
        "/login",
        status_code=200,
        security=PUBLIC,
        responses=problems(401, 429, 503),
        opt={"lane": LaneName.LOGINS},
    )
    async def log_in(
        self, request: Anyone, data: JSONBody[schemas.Login], login: NamedDependency[Login]
    ) -> schemas.LoginToken:
        """Log in.

        Trade a username, in full and in any case, and a password for an access token. Send it with
        every other request, in the header `Authorization: Bearer …`. Where `must_change_password`
        is true, an administrator chose the password: ask for another (`PUT /v1/me/password`).
        """
        grant = await login.log_in(data.username, data.password, address_of(request))
        return schemas.LoginToken(
            grant.token, "bearer", grant.expires_at, grant.must_change_password
        )

    @post("/logout", status_code=204, guards=[person(any_token=True)], responses=problems(403))
    async def log_out(self, request: Call, tokens: NamedDependency[TokenService]) -> None:
        """Log out.

        Ends the token that this request was made with. Your other tokens live on.
        """
        await tokens.log_out(request.user)
