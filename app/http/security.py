"""Who is asking and what they may do; how passwords and tokens are kept."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
import unicodedata
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.openapi.spec import SecurityRequirement

from app.config.settings import Settings
from app.http.errors import Forbidden, Unavailable

TOKEN_PREFIX = "bic_"  # noqa: S105  # lets secret scanners find a leaked token
TOKEN_BYTES = 32
PLATFORM_TENANT = "platform"
T = TypeVar("T")


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


def requires(*roles: Role) -> Guard:
    """A valid token whose user has one of the roles: sets `request.user`.

    Raises Unauthenticated and Forbidden. One guard does both, and asynchronously: Litestar copies
    the route's handler for each guard, and runs a plain function in a thread.
    """
    wanted = frozenset(roles)

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        principal: Principal = await connection.app.state.authenticate(connection)
        connection.scope["user"] = principal
        if principal.roles.isdisjoint(wanted):
            raise Forbidden

    guard.roles = roles  # type: ignore[attr-defined]  # read by tests and the OpenAPI document
    return guard


signed_in = requires(*Role)
administrators = requires(Role.TENANT_ADMIN, Role.ADMIN)
platform = requires(Role.ADMIN)


def new_token() -> str:
    """256 random bits."""
    return TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def token_digest(token: str) -> bytes:
    """All that is stored. Plain SHA-256 is enough: a token has nothing to guess."""
    return hashlib.sha256(token.encode()).digest()


def normalized(password: str) -> str:
    """NFC (RFC 8265, OpaqueString): an é is the same whether a keyboard sends one sign or two."""
    return unicodedata.normalize("NFC", password)


class Passwords:
    """argon2id off the event loop, in a bounded pool.

    m=19456 KiB, t=2, p=1 are OWASP's figures (Password Storage Cheat Sheet); the library's own
    defaults cost seven times as much. A full pool raises Unavailable instead of piling up work.
    """

    def __init__(self, settings: Settings) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._threads = ThreadPoolExecutor(settings.password_hash_threads, "argon2")
        self._limit = settings.password_hash_threads + settings.password_hash_queue
        self._running = 0
        # Verified against when there is no such user, so that both cost the same.
        self._nobody = self._hasher.hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        return await self._run(self._hasher.hash, normalized(password))

    async def verify(self, stored: str | None, password: str) -> bool:
        """False for a wrong password, and for no user at all (`stored` None), at equal cost."""
        matches = await self._run(self._matches, stored or self._nobody, normalized(password))
        return matches and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """The hash was made with other parameters: hash again while the password is at hand."""
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerifyMismatchError, InvalidHashError):
            return False

    async def _run(self, function: Callable[..., T], *args: str) -> T:
        if self._running >= self._limit:
            raise Unavailable("Too many passwords are being checked; try again.")
        self._running += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)
        finally:
            self._running -= 1
