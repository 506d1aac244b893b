"""Token to Principal on every request, and the login that hands the token out."""

from __future__ import annotations

import hashlib
import ipaddress
import math
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from litestar.connection import ASGIConnection
from sqlalchemy import delete, func, insert, literal, select, text, update

from app.accounts.models import AccessToken, User
from app.config.settings import Settings
from app.databases.database import Database, Databases
from app.databases.direct import Statement
from app.databases.sessions import UserSession
from app.http.errors import Forbidden, TooManyRequests, Unauthenticated
from app.http.security import (
    Passwords,
    Principal,
    Role,
    new_token,
    token_digest,
)
from app.telemetry import log
from app.telemetry.metrics import LOGIN_REFUSALS

WRONG = "The username or the password is wrong."
MAX_TOKEN_LENGTH = 100

AUTHENTICATE = Statement(text("SELECT * FROM authenticate(:digest, :idle)"))
ATTEMPT = text("SELECT * FROM login_attempt(:username, :account, :address, :pair, :free, :longest)")
SUCCEEDED = text("SELECT login_succeeded(:account, :address, :pair, :free)")


async def authenticate(connection: ASGIConnection[Any, Any, Any, Any]) -> Principal:
    """Whose token this request bears; raises Unauthenticated."""
    state = connection.app.state
    token = _bearer(connection.scope["headers"])
    return await find_principal(state.databases.user, state.settings, token)


def _bearer(headers: Iterable[tuple[bytes, bytes]]) -> str:
    header = next((value for name, value in headers if name == b"authorization"), b"")
    scheme, _, token = header.partition(b" ")
    token = token.strip()
    if scheme.lower() != b"bearer" or not token.isascii() or not 0 < len(token) < MAX_TOKEN_LENGTH:
        raise Unauthenticated
    return token.decode()


async def find_principal(
    database: Database[UserSession], settings: Settings, token: str
) -> Principal:
    """One indexed round trip; raises Unauthenticated for an unknown, expired or blocked one."""
    digest = token_digest(token)
    values = {"digest": digest, "idle": timedelta(seconds=settings.token_idle_seconds)}
    looked_up_at = time.monotonic()
    rows = await database.fetch(AUTHENTICATE, values)
    if not rows:
        raise Unauthenticated
    row = rows[0]
    return Principal(
        user_id=row["user_id"],
        tenant_id=row["tenant_id"],
        username=row["username"],
        roles=_roles(row["roles"]),
        token_digest=digest,
        looked_up_at=looked_up_at,
    )


@lru_cache
def _roles(stored: str) -> frozenset[Role]:
    """Decodes the JSONB text; cached, since few combinations exist."""
    return frozenset(msgspec.json.decode(stored, type=list[Role]))


class Grant(NamedTuple):
    """A fresh token; `expires_at` is its absolute end."""

    token: str
    expires_at: datetime


class Authenticator:
    """Login. Whatever is wrong costs the same, answers the same and counts the same."""

    def __init__(self, databases: Databases, passwords: Passwords, settings: Settings) -> None:
        self._database = databases.user
        self._passwords = passwords
        self._settings = settings

    async def log_in(self, username: str, password: str, address: str) -> Grant:
        """Raises Unauthenticated, TooManyRequests, and Unavailable when hashing is saturated."""
        keys = _throttle_keys(username, address)
        for _ in range(2):  # once more when the password's hash was replaced meanwhile
            row = await self._attempt(username, keys)
            matches = await self._passwords.verify(row.password_hash, password)
            if not matches or not row.may_log_in:
                break
            grant = await self._admit(row, password, keys)
            if grant is not None:
                return grant
        _note_refusal("credentials", keys)
        raise Unauthenticated(WRONG)

    async def confirm(self, principal: Principal, password: str, address: str) -> str:
        """The hash that the password matches. Throttled like a login: a stolen token guesses too.

        Raises Forbidden, TooManyRequests, and Unavailable.
        """
        keys = _throttle_keys(principal.username, address)
        row = await self._attempt(principal.username, keys)
        if not await self._passwords.verify(row.password_hash, password):
            _note_refusal("confirmation", keys)
            raise Forbidden("The current password is wrong.")
        async with self._database.one_statement() as connection:
            await connection.execute(SUCCEEDED, self._counted(keys))
        return row.password_hash

    def _counted(self, keys: dict[str, bytes]) -> dict[str, Any]:
        return {**keys, "free": self._settings.login_free_attempts}

    async def _attempt(self, username: str, keys: dict[str, bytes]) -> Any:
        longest = timedelta(seconds=self._settings.login_max_delay_seconds)
        values = {**self._counted(keys), "username": username, "longest": longest}
        async with self._database.one_statement() as connection:
            row = (await connection.execute(ATTEMPT, values)).one()
        if row.retry_after_seconds > 0:
            _note_refusal("throttled", keys)
            raise TooManyRequests(retry_after_seconds=math.ceil(row.retry_after_seconds))
        return row

    async def _admit(self, row: Any, password: str, keys: dict[str, bytes]) -> Grant | None:
        """None if a block, a deletion or another password hash was committed in between."""
        renewed = None
        if self._passwords.is_outdated(row.password_hash):
            renewed = await self._passwords.hash(password)
        token = new_token()
        async with self._database.session(row.tenant_id) as session:
            expires_at = await self._store(session, row, token)
            if expires_at is None:
                return None
            if renewed:
                query = update(User).where(User.id == row.user_id)
                await session.execute(query.values(password_hash=renewed))
            await session.execute(SUCCEEDED, self._counted(keys))
        return Grant(token, expires_at)

    async def _store(self, session: UserSession, row: Any, token: str) -> datetime | None:
        """The last look at the user is the INSERT's own. It waits for whoever changes them."""
        # By the clock that will judge it: this process's may be wrong, or the other replica's.
        expires_at = func.now() + timedelta(seconds=self._settings.token_lifetime_seconds)
        user = (
            select(literal(token_digest(token)), User.tenant_id, User.id, expires_at)
            .where(User.id == row.user_id, User.password_hash == row.password_hash)
            .where(User.is_active, ~User.is_blocked)
            .with_for_update(key_share=True)
        )
        columns = ["digest", "tenant_id", "user_id", "expires_at"]
        query = insert(AccessToken).from_select(columns, user).returning(AccessToken.expires_at)
        return await session.scalar(query)


async def log_out(session: UserSession, digest: bytes) -> None:
    await session.execute(delete(AccessToken).where(AccessToken.digest == digest))


def _throttle_keys(username: str, address: str) -> dict[str, bytes]:
    """Digests: whoever reads the table learns neither names nor addresses from it."""
    network = _network(address)
    return {
        "account": _key("account", username),
        "address": _key("address", network),
        "pair": _key("pair", username, network),
    }


def _key(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode()).digest()


def _network(address: str) -> str:
    """One IPv6 customer holds a /64: counted as one address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    prefix = 64 if parsed.version == 6 else 32
    return str(ipaddress.ip_network((parsed, prefix), strict=False))


def _note_refusal(reason: str, keys: dict[str, bytes]) -> None:
    LOGIN_REFUSALS.labels(reason).inc()
    digests = {name: keys[name].hex()[:16] for name in ("account", "address")}
    log.warning("login_refused", reason=reason, **digests)
