"""A principal is who asks; roles and guards say what they may do."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.openapi.spec import SecurityRequirement

from app.http.errors import Forbidden, Unauthenticated

PLATFORM_TENANT = "platform"
MAX_TOKEN_LENGTH = 100


class Role(StrEnum):
    MEMBER = "member"
    TENANT_ADMIN = "tenant_admin"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose token was valid when it was looked up.

    `looked_up_at` is the monotonic clock just before the look-up was sent: a block committed
    before that moment has been seen, one committed after it has not.
    """

    user_id: UUID
    tenant_id: UUID
    username: str
    roles: frozenset[Role]
    token_digest: bytes = field(default=b"", repr=False)
    looked_up_at: float = field(default_factory=time.monotonic, repr=False, compare=False)

    @property
    def is_admin(self) -> bool:
        """A platform administrator, in every tenant."""
        return Role.ADMIN in self.roles


Guard = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]


# `security=PUBLIC` on a route opens it to anyone; every other route needs a token, and a guard
# made by `requires`. (`security=[]` would change nothing: Litestar reads it as "not said".)
PUBLIC: list[SecurityRequirement] = [{}]


def is_public(handler: BaseRouteHandler) -> bool:
    return isinstance(handler, HTTPRouteHandler) and handler.resolve_security() == PUBLIC


def bearer_token(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Read the token of the request; raises Unauthenticated where there is none."""
    header = next((value for name, value in headers if name == b"authorization"), b"")
    scheme, _, token = header.partition(b" ")
    token = token.strip()
    if scheme.lower() != b"bearer" or not token.isascii() or not 0 < len(token) < MAX_TOKEN_LENGTH:
        raise Unauthenticated
    return token.decode()


def requires(*roles: Role) -> Guard:
    """Let pass who has one of the roles. A route with a guard needs a token: the gate sees to it.

    Raises Forbidden. It is one guard, and asynchronous: Litestar copies the route's handler for
    each guard, and runs a plain function in a thread.
    """
    wanted = frozenset(roles)

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        principal: Principal = connection.scope["user"]  # whom the gate has looked up
        if principal.roles.isdisjoint(wanted):
            raise Forbidden

    guard.roles = roles  # type: ignore[attr-defined]  # read by tests and the OpenAPI document
    return guard


signed_in = requires(*Role)
administrators = requires(Role.TENANT_ADMIN, Role.ADMIN)
platform = requires(Role.ADMIN)
