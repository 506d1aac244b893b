"""A principal is who asks, by a token or an API key; guards say what they may do."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import StrEnum
from typing import Any, Literal, NamedTuple, cast
from uuid import UUID

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.openapi.spec import SecurityRequirement
from msgspec import Struct, field

from app.databases.sealing.master_keys import WrappedKey
from app.http.errors import Forbidden, Gone, NotFound, Unauthenticated
from app.http.on_behalf_of import ON_BEHALF_OF, OnBehalfOf, check_header, read_header

PLATFORM_TENANT = "platform"
MAX_TOKEN_LENGTH = 100


class Role(StrEnum):
    MEMBER = "member"
    TENANT_ADMIN = "tenant_admin"
    ADMIN = "admin"


ADMINISTRATORS = frozenset({Role.TENANT_ADMIN, Role.ADMIN})


class Scope(StrEnum):
    """An API key or a minted token may be used for these; a token of a login has no limits."""

    CHAT_READ = "chat:read"
    CHAT_WRITE = "chat:write"
    CHAT_WRITE_ANY = "chat:write:any"  # minted tokens only: also messages of other roles than user
    EXPORT = "export"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    USERS_ERASE = "users:erase"
    TOKENS = "tokens"


class SubjectState(StrEnum):
    """The user database tells this of the person whom an API key acts for."""

    PRESENT = "present"
    BLOCKED = "blocked"
    INACTIVE = "inactive"
    DELETED = "deleted"


class Credential(NamedTuple):
    token: str
    on_behalf_of: OnBehalfOf | None = None


class Principal(Struct, frozen=True, eq=False):
    """A caller whose token or API key was valid when it was looked up.

    `user_id` is the person, also behind a key; for a key that acts for nobody it is the key's own
    id. `scopes` are None where nothing is limited. `looked_up_at` is the monotonic clock just
    before the look-up was sent: a block committed before that moment has been seen, one committed
    after it has not. `wrapped_key` is the person's, if anything of theirs was ever sealed;
    `is_sealing` says whether what is written is sealed.
    """

    user_id: UUID
    tenant_id: UUID
    username: str
    roles: frozenset[Role]
    token_digest: bytes = b""
    looked_up_at: float = field(default_factory=time.monotonic)
    scopes: frozenset[Scope] | None = None
    key_id: UUID | None = None
    on_behalf_of: OnBehalfOf | None = None
    subject_state: SubjectState | None = None
    wrapped_key: WrappedKey | None = None
    is_sealing: bool = False

    def __repr__(self) -> str:
        """Show who it is, and nothing that belongs into no log."""
        return f"Principal({self.username!r}, {self.user_id}, {self.tenant_id})"

    @property
    def is_admin(self) -> bool:
        """A platform administrator, in every tenant."""
        return Role.ADMIN in self.roles

    @property
    def actor_id(self) -> UUID:
        """The key that acts, or the person who acts themselves."""
        return self.key_id or self.user_id

    @property
    def person_id(self) -> UUID | None:
        """The person who acts, or for whom a key does."""
        return None if self.acts_for_nobody else self.user_id

    @property
    def whose(self) -> dict[str, Any]:
        """The key of what is this person's in the general database, by its columns."""
        return {"tenant_id": self.tenant_id, "user_id": self.user_id}

    def stores_like(self, before: Principal) -> bool:
        """Tell whether what was made ready for an earlier look-up may be stored after this one."""
        key = before.wrapped_key
        is_same = key is None or (self.wrapped_key is not None and self.wrapped_key.id == key.id)
        return is_same and self.is_sealing == before.is_sealing

    @property
    def kind(self) -> Literal["login", "minted", "api_key"]:
        """Name what the caller came with, for metrics."""
        if self.key_id is not None:
            return "api_key"
        return "login" if self.scopes is None else "minted"

    @property
    def acts_for_nobody(self) -> bool:
        """An API key without a person, as it comes to the routes that administer."""
        return self.key_id == self.user_id

    @property
    def writes_any_role(self) -> bool:
        """An API key does, and the token of a login; a minted one, if its scopes say so."""
        return self.key_id is not None or self.scopes is None or Scope.CHAT_WRITE_ANY in self.scopes

    def check_role_of(self, roles: Iterable[str]) -> None:
        """Raise Forbidden for messages of roles that this caller's token does not write."""
        if not self.writes_any_role and any(role != "user" for role in roles):
            raise Forbidden("This token writes messages of the role `user` only.")

    def check_subject(self) -> None:
        """Raise for a person whom a key cannot act for: NotFound, Gone or Forbidden."""
        if self.key_id is None or self.on_behalf_of is None:
            return
        if self.subject_state is None:
            raise NotFound("There is no such user; create them first.")
        if self.subject_state is SubjectState.DELETED:
            raise Gone(
                "This user was deleted; under their external id they come again as a new one."
            )
        if self.subject_state is not SubjectState.PRESENT:
            raise Forbidden(f"This user is {self.subject_state}.")
        if not ADMINISTRATORS.isdisjoint(self.roles):
            raise Forbidden("An API key does not act for administrators.")


Guard = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]


# `security=PUBLIC` on a route opens it to anyone; every other route needs a token, and a guard of
# these. (`security=[]` would change nothing: Litestar reads it as "not said".)
PUBLIC: list[SecurityRequirement] = [{}]


def is_public(handler: BaseRouteHandler) -> bool:
    return isinstance(handler, HTTPRouteHandler) and handler.resolve_security() == PUBLIC


class GuardedHandler(HTTPRouteHandler):
    """A route that spares a request what Litestar makes anew: copies, which guards only read."""

    gathered_handlers: Any = None  # for exceptions: those of all layers

    def resolve_exception_handlers(self) -> Any:
        if self.gathered_handlers is None:
            self.gathered_handlers = cast("Any", super()).resolve_exception_handlers()
        return self.gathered_handlers

    async def authorize_connection(self, connection: ASGIConnection[Any, Any, Any, Any]) -> None:
        for guard in cast("Any", self).resolve_guards():
            await guard(connection, self)


def credential_of(headers: Iterable[tuple[bytes, bytes]]) -> Credential:
    """Read the request's headers; raises Unauthenticated where they hold no token.

    A fault in `On-Behalf-Of` is kept, not raised: whether the token is good is answered first.
    """
    found, on_behalf_of = dict(reversed([*headers])), None  # the first of each name
    if b"on-behalf-of" in found:
        subjects = [value for name, value in headers if name == b"on-behalf-of"]
        on_behalf_of = read_header(subjects)
    return Credential(_bearer(found.get(b"authorization", b"")), on_behalf_of)


def _bearer(authorization: bytes) -> str:
    scheme, _, token = authorization.partition(b" ")
    token = token.strip()
    if scheme.lower() != b"bearer" or not token.isascii() or not 0 < len(token) < MAX_TOKEN_LENGTH:
        raise Unauthenticated
    return token.decode()


def requires(*roles: Role, scopes: Sequence[Scope] = ()) -> Guard:
    """Let pass who has one of the roles, and an API key that has one of the scopes.

    The route is about no person of the key's. Without scopes no key passes, and no minted token. A
    route with a guard needs a token: the gate sees to it. Raises BadRequest and Forbidden. It is
    asynchronous, for Litestar runs a plain function in a thread.
    """
    return _guard(frozenset(roles), frozenset(scopes), is_of_person=False)


def person(*scopes: Scope, any_token: bool = False) -> Guard:
    """Let everybody pass to what is their own, and API keys that act for a person, by their scopes.

    A minted token likewise, or `any_token` of a person. Raises as `requires` does, and NotFound and
    Gone for a person whom a key cannot act for.
    """
    return _guard(frozenset(Role), frozenset(scopes), is_of_person=True, any_token=any_token)


def _guard(
    roles: frozenset[Role],
    scopes: frozenset[Scope],
    *,
    is_of_person: bool,
    any_token: bool = False,
) -> Guard:
    async def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        principal: Principal = connection.scope["user"]  # whom the gate has looked up
        if principal.key_id is not None:
            check_header(principal.on_behalf_of, is_of_person)
        elif principal.on_behalf_of is not None:
            raise Forbidden(f"Only an API key acts for somebody else; leave {ON_BEHALF_OF} out.")
        limited = principal.scopes if principal.key_id or not any_token else None
        if limited is not None and limited.isdisjoint(scopes):
            raise Forbidden(_missing(scopes))
        principal.check_subject()
        if principal.key_id is None and principal.roles.isdisjoint(roles):
            raise Forbidden

    guard.roles, guard.scopes = roles, scopes  # type: ignore[attr-defined]  # read by tests and the OpenAPI document
    return guard


def _missing(scopes: frozenset[Scope]) -> str:
    if not scopes:
        return "Neither API keys nor minted tokens may do this."
    return f"This needs the scope {' or '.join(f'`{one}`' for one in sorted(scopes))}."


signed_in = person()
reads_chat, writes_chat = person(Scope.CHAT_READ), person(Scope.CHAT_WRITE)
administrators = requires(Role.TENANT_ADMIN, Role.ADMIN)
platform = requires(Role.ADMIN)
