"""The count of attempts to guess a password, by account, by address and by both together.

An attempt counts as failed from the start, before the password is hashed: of a thousand that are
sent at once, each sees those before it. A right password takes its own count back.
"""

from __future__ import annotations

import hashlib
import math
from datetime import timedelta
from typing import NamedTuple
from unicodedata import normalize
from uuid import UUID

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config.settings import Settings
from app.databases.database import Database
from app.databases.sessions import UserSession
from app.http.addresses import network
from app.http.errors import TooManyRequests
from app.http.structs import to_struct
from app.telemetry import log
from app.telemetry.metrics import LOGIN_REFUSALS

ATTEMPT = text("SELECT * FROM login_attempt(:username, :account, :address, :pair, :free, :longest)")
SUCCEEDED = text("SELECT login_succeeded(:account, :address, :pair, :free)")


class Counters(NamedTuple):
    """Digests: whoever reads the table learns neither names nor addresses from it."""

    account: bytes
    address: bytes
    pair: bytes


class Credentials(Struct, frozen=True):
    """The stored facts that a username's password is checked against."""

    user_id: UUID
    tenant_id: UUID
    password_hash: str
    may_log_in: bool


class Throttle:
    """Each method is one statement."""

    def __init__(self, database: Database[UserSession], settings: Settings) -> None:
        self._database = database
        self._free = settings.login_free_attempts
        self._longest = timedelta(seconds=settings.login_max_delay_seconds)

    async def attempt(self, username: str, counters: Counters) -> Credentials | None:
        """Count an attempt, and read the user of this name, if there is one.

        Raises TooManyRequests.
        """
        values = {"username": username, "free": self._free, "longest": self._longest}
        async with self._database.one_statement() as connection:
            row = (await connection.execute(ATTEMPT, values | counters._asdict())).one()
        if row.retry_after_seconds > 0:
            note_refusal("throttled", counters)
            raise TooManyRequests(retry_after_seconds=math.ceil(row.retry_after_seconds))
        return None if row.user_id is None else to_struct(Credentials, row)

    async def succeeded(self, counters: Counters) -> None:
        async with self._database.one_statement() as connection:
            await self.succeeded_in(connection, counters)

    async def succeeded_in(
        self, transaction: UserSession | AsyncConnection, counters: Counters
    ) -> None:
        await transaction.execute(SUCCEEDED, counters._asdict() | {"free": self._free})


def counters_of(username: str, address: str) -> Counters:
    account, counted = _folded(username), network(address)
    return Counters(
        account=_digest("account", account),
        address=_digest("address", counted),
        pair=_digest("pair", account, counted),
    )


def _folded(username: str) -> str:
    """Fold as username_key.sql does, so that every spelling of a name counts as the same account.

    A newer Unicode here than there is harmless: it tells fewer names apart, never more.
    """
    return normalize("NFC", normalize("NFD", username).casefold())


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode()).digest()


def note_refusal(reason: str, counters: Counters) -> None:
    """Count it, and log digests long enough to tell one account from another."""
    LOGIN_REFUSALS.labels(reason).inc()
    digests = {name: getattr(counters, name).hex()[:16] for name in ("account", "address")}
    log.warning("login_refused", reason=reason, **digests)
