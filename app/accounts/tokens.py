"""Access tokens: how one is made, whose it is on each request, how it ends."""

from __future__ import annotations

import hashlib
import secrets
import time
from datetime import timedelta
from functools import lru_cache

import msgspec
from sqlalchemy import text

from app.accounts.repositories import TokenRepository
from app.config.settings import Settings
from app.databases.database import Database
from app.databases.sessions import UserSession
from app.databases.statement import Statement
from app.http.errors import Unauthenticated
from app.http.security import Principal, Role

PREFIX = "bic_"  # lets secret scanners find a leaked token
RANDOM_BYTES = 32
AUTHENTICATE = Statement(
    text(
        "SELECT user_id, tenant_id, username, CAST(roles AS text) AS roles"
        " FROM authenticate(:digest, :idle)"
    ),
    reads=True,
)


def new_token() -> str:
    """Make a token of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def token_digest(token: str) -> bytes:
    """All that is stored. Plain SHA-256 is enough: a token has nothing to guess."""
    return hashlib.sha256(token.encode()).digest()


class TokenLookup:
    """Finds whose token a request bears, in one indexed round trip."""

    def __init__(self, database: Database[UserSession], settings: Settings) -> None:
        self._database = database
        self._idle = timedelta(seconds=settings.token_idle_seconds)

    async def principal(self, token: str) -> Principal:
        """Raises Unauthenticated where there is no such token, or no such user may use it."""
        return await self._principal(token_digest(token))

    async def again(self, principal: Principal) -> Principal:
        """Look up once more the token that somebody came with. Raises Unauthenticated likewise."""
        return await self._principal(principal.token_digest)

    async def _principal(self, digest: bytes) -> Principal:
        looked_up_at = time.monotonic()
        rows = await self._database.fetch(AUTHENTICATE, {"digest": digest, "idle": self._idle})
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


class TokenService:
    """Ends tokens."""

    def __init__(self, session: UserSession) -> None:
        self._tokens = TokenRepository(session)

    async def log_out(self, actor: Principal) -> None:
        """End the token that the request was made with; Unauthenticated if it has ended since."""
        if not await self._tokens.end(actor.token_digest):
            raise Unauthenticated
