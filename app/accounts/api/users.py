"""Users over HTTP, for those who administer them."""

from __future__ import annotations

from uuid import UUID

from litestar import Controller, Response
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, JSONBody
from msgspec.structs import replace

from app.accounts import schemas
from app.accounts.api import services
from app.accounts.api.erasures import accepted
from app.accounts.api.requests import Call, OneTenant, once_for
from app.accounts.external_users import ExternalUserService
from app.accounts.new_users import NewUser, NewUserService
from app.accounts.passwords import Passwords
from app.accounts.users import Change, UserService
from app.databases.sessions import UserSession
from app.http.errors import FieldError, Invalid
from app.http.exchange import response
from app.http.external_ids import ExternalIdInPath
from app.http.idempotency import Key
from app.http.openapi import problems
from app.http.paging import After, Limit, Place, cut, place_after
from app.http.routes import delete, get, patch, post, put
from app.http.security import Guard, Principal, Role, Scope, requires
from app.http.structs import to_struct


def _administrators(scope: Scope) -> Guard:
    return requires(Role.TENANT_ADMIN, Role.ADMIN, scopes=[scope])


BY_EXTERNAL_ID = "/by-external-id/{external_id:str}"
NEEDED = "Send this field, or an external_id."
MADE = ResponseSpec(schemas.User, description="Created.")
readers = _administrators(Scope.USERS_READ)
writers = _administrators(Scope.USERS_WRITE)
erasers = _administrators(Scope.USERS_ERASE)


class UserController(Controller):
    path = "/users"
    tags = ["users"]
    dependencies = {
        "users": services.users,
        "new_users": services.new_users,
        "external_users": services.external_users,
    }

    @post("/", guards=[writers], responses=problems(403, 404, 409))
    async def create_user(
        self,
        request: Call,
        data: JSONBody[schemas.NewUser],
        new_users: NamedDependency[NewUserService],
        passwords: NamedDependency[Passwords],
        user_session: NamedDependency[UserSession],
        idempotency_key: Key = None,
    ) -> Response[schemas.User]:
        """Create a user.

        In your own tenant, or, for a platform administrator, in any: by `tenant_id`, or by a
        username in full, such as `\\acme\\alice`. Without `roles` it is a `member`.
        Taken is a username in any other case, too, and in this tenant an address in any other form.
        With an `external_id`, an id of your own for them, all the rest may be left out: without a
        password they cannot log in, and without a username they are called by their id.
        """
        new = await _with_hash(request.user, data, new_users, passwords)
        once = await once_for(request, user_session, idempotency_key)
        # The password is part of the request that a retry is compared with.
        if stored := await once.stored(passwords if data.password else None):
            await new_users.recheck(request.user)
            return response(stored)
        user = await new_users.add(request.user, new, tenant_id=data.tenant_id)
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
        change = Change(email=data.email, roles=data.roles, is_active=data.is_active)
        return to_struct(schemas.User, await users.change(request.user, user_id, change))

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

    @put(
        BY_EXTERNAL_ID,
        guards=[writers],
        responses={201: MADE} | problems(403, 404, 409),
    )
    async def put_external_user(
        self,
        request: Call,
        external_id: ExternalIdInPath,
        external_users: NamedDependency[ExternalUserService],
        data: JSONBody[schemas.ExternalUser | None] = None,
        tenant_id: OneTenant = None,
    ) -> Response[schemas.User]:
        """Make a user known by an id of yours, or change them.

        In your own tenant, or, for a platform administrator, in that of `tenant_id`. It may be sent
        again, and by many at a time: there is one user. What is left out stays, or, for a new user,
        is not there; an `email` of null is taken away. Whoever was deleted comes again as another
        user, with another `id`.
        """
        sent = data or schemas.ExternalUser()
        change = Change(username=sent.username, email=sent.email, roles=sent.roles)
        user, is_new = await external_users.put(
            request.user, external_id, change, tenant_id=tenant_id
        )
        return Response(to_struct(schemas.User, user), status_code=201 if is_new else 200)

    @get(BY_EXTERNAL_ID, guards=[readers], responses=problems(403, 404))
    async def get_external_user(
        self,
        request: Call,
        external_id: ExternalIdInPath,
        external_users: NamedDependency[ExternalUserService],
        tenant_id: OneTenant = None,
    ) -> schemas.User:
        """Read a user by an id of yours.

        They are in your own tenant, or, for a platform administrator, in that of `tenant_id`.
        """
        user = await external_users.one(request.user, external_id, tenant_id=tenant_id)
        return to_struct(schemas.User, user)


async def _with_hash(
    actor: Principal, data: schemas.NewUser, new_users: NewUserService, passwords: Passwords
) -> NewUser:
    """Hash the password before the first statement: that must not hold a connection."""
    if data.missing:
        raise Invalid(errors=[FieldError(name, NEEDED) for name in data.missing])
    new = NewUser(
        username=data.username,
        email=data.email,
        roles=data.roles or [Role.MEMBER],
        external_id=data.external_id,
    )
    if data.password is None:
        return new
    names = new_users.names_of(actor, new)
    password_hash = await passwords.hash_new(data.password, names, field="password")
    return replace(new, password_hash=password_hash)
