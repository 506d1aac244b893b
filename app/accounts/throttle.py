"""Failed logins delay further ones, and lock nobody out; begin_login.sql has the rules.

An attempt is stored as failed from the start, before the password is hashed: of a thousand that are
sent at once, each sees those before it. A right password takes it back.
"""

from __future__ import annotations

import math
from datetime import timedelta
from uuid import UUID

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.accounts.digests import Digester, LoginDigests, shown
from app.config.settings import Settings
from app.databases.database import Database
from app.databases.sessions import UserSession
from app.http.errors import TooManyRequests
from app.http.structs import to_struct
from app.telemetry import log
from app.telemetry.metrics import LOGIN_REFUSALS

BEGIN = text("SELECT * FROM begin_login(:username, :account, :address, :free, :longest)")
CONFIRM = text("SELECT confirm_login(:account, :address)")


class Credentials(Struct, frozen=True):
    """The stored facts that a username's password is checked against."""

    user_id: UUID
    tenant_id: UUID
    password_hash: str
    may_log_in: bool


class Throttle:
    """Each method is one statement."""

    def __init__(
        self, database: Database[UserSession], digester: Digester, settings: Settings
    ) -> None:
        self._database = database
        self._digester = digester
        self._free = settings.login_free_attempts
        self._longest = timedelta(seconds=settings.login_max_delay_seconds)

    async def digests_of(self, username: str, address: str) -> LoginDigests:
        return await self._digester.of_login(username, address)

    async def begin(self, username: str, digests: LoginDigests) -> Credentials | None:
        """Store the attempt, and read the user of this name, if there is one with a password.

        Raises TooManyRequests.
        """
        values = {"username": username, "free": self._free, "longest": self._longest}
        async with self._database.one_statement() as connection:
            row = (await connection.execute(BEGIN, values | digests._asdict())).one()
        if row.retry_after_seconds > 0:
            note_refusal("throttled", digests)
            raise TooManyRequests(retry_after_seconds=math.ceil(row.retry_after_seconds))
        return None if row.password_hash is None else to_struct(Credentials, row)

    async def confirm(self, digests: LoginDigests) -> None:
        async with self._database.one_statement() as connection:
            await self.confirm_in(connection, digests)

    async def confirm_in(
        self, transaction: UserSession | AsyncConnection, digests: LoginDigests
    ) -> None:
        await transaction.execute(CONFIRM, digests._asdict())


def note_refusal(reason: str, digests: LoginDigests) -> None:
    """Count it, and log whose it was; `litestar whose` says who that is."""
    LOGIN_REFUSALS.labels(reason).inc()
    account, address = map(shown, digests)
    log.warning("login_refused", reason=reason, account=account, address=address)
