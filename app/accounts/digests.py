"""Keyed digests of usernames and addresses: stored and logged in their place.

A plain hash of an address is guessed within hours, since there are few addresses. With a key, only
who holds it can tell whose a digest is. It is LOG_DIGEST_KEY or, where that is not set, one that
the user database holds: either way the same in all workers and replicas, and after a restart.
"""

from __future__ import annotations

import hmac
from typing import NamedTuple
from unicodedata import normalize

from sqlalchemy import text

from app.config.settings import Settings
from app.databases.database import Database
from app.databases.sessions import UserSession
from app.http.addresses import network

KEY = text("SELECT digest_key()")
SHOWN_DIGITS = 16  # in the log: enough to tell one from another


class LoginDigests(NamedTuple):
    """Whoever reads them learns neither name nor address."""

    account: bytes
    address: bytes


class Digester:
    """Makes digests; one for each process, since it keeps the key that it read."""

    def __init__(self, database: Database[UserSession], settings: Settings) -> None:
        self._database = database
        secret = settings.log_digest_key
        self._key = secret.get_secret_value().encode() if secret else None

    async def of_login(self, username: str, address: str) -> LoginDigests:
        return LoginDigests(await self.of_account(username), await self.of_address(address))

    async def of_account(self, username: str) -> bytes:
        return await self._digest("account", folded(username))

    async def of_address(self, address: str) -> bytes:
        """Every address of the same network of IPv6 is one."""
        return await self._digest("address", network(address))

    async def _digest(self, *parts: str) -> bytes:
        if self._key is None:
            async with self._database.one_statement() as connection:
                self._key = bytes((await connection.execute(KEY)).scalar_one())
        return hmac.digest(self._key, "\0".join(parts).encode("utf-8", "surrogatepass"), "sha256")


def folded(username: str) -> str:
    """Fold as username_key.sql does, so that every spelling of a name counts as the same account.

    A newer Unicode here than there is harmless: it tells fewer names apart, never more.
    """
    return normalize("NFC", normalize("NFD", username).casefold())


def shown(digest: bytes) -> str:
    return digest.hex()[:SHOWN_DIGITS]
