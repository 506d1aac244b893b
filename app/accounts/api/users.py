"""Users over HTTP, for those who administer them."""

from __future__ import annotations

from uuid import UUID

from litestar import Controller, Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from app.accounts import schemas
from app.accounts.api import services
from app.accounts.api.erasures import accepted
from app.accounts.api.requests import Call, given, once_for
from app.accounts.passwords import Passwords
from app.accounts.users import UserService
from app.databases.sessions import UserSession
from app.http.answers import response
from app.http.idempotency import Key
from app.http.openapi import problems
from app.http.paging import After, Limit, Place, cut, place_after
from app.http.security import Guard, Role, Scope, requires
from app.http.structs import to_struct


def _administrators(scope: Scope) -> Guard:
    return requires(Role.TENANT_ADMIN, Role.ADMIN, scopes=[scope])


readers = _administrators(Scope.USERS_READ)
writers = _administrators(Scope.USERS_WRITE)
erasers = _administrators(Scope.USERS_ERASE)


class UserController(Controller):
    path = "/users"
    tags = ["users"]
    dependencies = {"users": services.users}

    @post("/", guards=[writers], responses=problems(403, 404, 409))
    async def create_user(
        self,
        request: Call,
        data: JSONBody[schemas.NewUser],
        users: NamedDependency[UserService],
        passwords: NamedDependency[Passwords],
        user_session: NamedDependency[UserSession],
        idempotency_key: Key = None,
    ) -> Response[schemas.User]:
        """Create a user.

        In your own tenant, or, for a platform administrator, in any: by `tenant_id`, or by a
        username in full, such as `\\acme\\alice`. Without `roles` it is a `member`.
        Taken is a username in any other case, too, and in this tenant an address in any other form.
        """
        names = users.names_of_new(request.user, data.username, data.email)
        # Before the first statement: hashing must not hold a connection.
        password_hash = await passwords.hash_new(data.password, names, field="password")
        once = await once_for(request, user_session, idempotency_key)
        if stored := await once.stored(passwords):
            await users.recheck(request.user)
            return response(stored)
        user = await users.add(
            request.user,
            tenant_id=data.tenant_id,
            username=data.username,
            email=data.email,
            password_hash=password_hash,
            roles=data.roles or [Role.MEMBER],
        )
        return response(await once.keep(to_struct(schemas.User, user), about=user.id))

    @get("/", guards=[readers], responses=problems(403))
    async def list_users(
        self,
        request: Call,
        users: NamedDependency[UserService],
        limit: Limit = 50,
        after: After = None,
    ) -> schemas.UserPage:
        """List users, oldest first.

        Your tenant's, or, for a platform administrator, all. In pages of at most `limit`; take
        `next` of one page as `after` for the following.
        """
        this = "users", request.user.tenant_id
        rows = await users.page(request.user, limit=limit, after=place_after(after, *this))
        page, following = cut(rows, limit, lambda user: Place(user.created_at, user.id), *this)
        return schemas.UserPage(to_struct(list[schemas.User], page), following)

    @get("/{user_id:uuid}", guards=[readers], responses=problems(403, 404))
    async def get_user(
        self, request: Call, user_id: FromPath[UUID], users: NamedDependency[UserService]
    ) -> schemas.User:
        """Read a user.

        Who is blocked or not active is shown as well; who was deleted is not there.
        """
        return to_struct(schemas.User, await users.one(request.user, user_id))

    @patch("/{user_id:uuid}", guards=[writers], responses=problems(403, 404, 409))
    async def change_user(
        self,
        request: Call,
        user_id: FromPath[UUID],
        data: JSONBody[schemas.UserChange],
        users: NamedDependency[UserService],
    ) -> schemas.User:
        """Change a user.

        The e-mail address, the roles, or whether they are active; what is left out stays. A user
        made inactive is logged out.
        """
        changed = await users.change(
            request.user,
            user_id,
            email=given(data.email),
            roles=given(data.roles),
            is_active=given(data.is_active),
        )
        return to_struct(schemas.User, changed)

    @delete("/{user_id:uuid}", guards=[erasers], status_code=202, responses=problems(403, 404, 409))
    async def delete_user(
        self, request: Call, user_id: FromPath[UUID], users: NamedDependency[UserService]
    ) -> Response[schemas.Erasure]:
        """Delete a user.

        Their tokens end now; their conversations are erased next. `Location` tells how far that is.
        """
        return accepted(await users.remove(request.user, user_id))

    @post(
        "/{user_id:uuid}/block",
        guards=[writers],
        status_code=200,
        responses=problems(403, 404, 409),
    )
    async def block_user(
        self,
        request: Call,
        user_id: FromPath[UUID],
        users: NamedDependency[UserService],
        data: JSONBody[schemas.Block | None] = None,
    ) -> schemas.User:
        """Block a user.

        From this answer on every token of theirs is refused. A reason may be kept with it.
        """
        reason = data.reason if data else None
        return to_struct(schemas.User, await users.block(request.user, user_id, reason))

    @post(
        "/{user_id:uuid}/unblock", guards=[writers], status_code=200, responses=problems(403, 404)
    )
    async def unblock_user(
        self, request: Call, user_id: FromPath[UUID], users: NamedDependency[UserService]
    ) -> schemas.User:
        """Unblock a user.

        They may log in again; tokens from before the block stay ended.
        """
        return to_struct(schemas.User, await users.unblock(request.user, user_id))
