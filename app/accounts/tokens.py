"""Access tokens and API keys: how a token is made, and whose a credential is on each request."""

from __future__ import annotations

import hashlib
import secrets
import time
from datetime import timedelta
from functools import lru_cache
from typing import Any

import asyncpg
import msgspec
from sqlalchemy import text

from app.accounts.keys import PREFIX as KEY_PREFIX
from app.accounts.keys import has_form_of_key, is_mistyped
from app.config.settings import Settings
from app.databases.database import Database
from app.databases.sealing.master_keys import WrappedKey
from app.databases.sessions import UserSession
from app.databases.statement import Statement
from app.http.errors import Unauthenticated
from app.http.on_behalf_of import OnBehalfOf
from app.http.security import Credential, Principal, Role, Scope, SubjectState

PREFIX = "bic_"  # lets secret scanners find a leaked token
RANDOM_BYTES = 32
CALLER_OF_TOKEN = Statement(
    text(
        "SELECT user_id, tenant_id, username, CAST(roles AS text) AS roles,"
        " CAST(scopes AS text) AS scopes, wrapped_id, master_id, wrapped, is_sealing"
        " FROM caller_of_token(:digest, :idle)"
    ),
    reads=True,
)
CALLER_OF_KEY = Statement(
    text(
        "SELECT key_id, tenant_id, tenant_name, CAST(scopes AS text) AS scopes, user_id, username,"
        " CAST(roles AS text) AS roles, subject_state, wrapped_id, master_id, wrapped, is_sealing"
        " FROM caller_of_key(:digest, :user_id, :external_id)"
    ),
    reads=True,
)
NOBODY = OnBehalfOf()


def new_token() -> str:
    """Make a token of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def token_digest(token: str) -> bytes:
    """Digest a token; nothing else is stored. Plain SHA-256 is enough for 256 random bits."""
    return hashlib.sha256(token.encode()).digest()


class CredentialLookup:
    """Finds whose token or key a request bears, and for whom the key acts, in one round trip."""

    def __init__(self, database: Database[UserSession], settings: Settings) -> None:
        self._database = database
        self._idle = timedelta(seconds=settings.token_idle_seconds)

    async def principal(self, credential: Credential) -> Principal:
        """Raises Unauthenticated where there is no such token or key, or its user may not use it.

        Whether a key may act for the person it names is answered by the guard of the route.
        """
        token, on_behalf_of = credential
        if token.startswith(KEY_PREFIX) and has_form_of_key(token):
            if is_mistyped(token):
                raise Unauthenticated
            return await self._of_key(token_digest(token), on_behalf_of)
        return await self._of_token(token_digest(token), on_behalf_of)

    async def again(self, principal: Principal) -> Principal:
        """Look up once more what somebody came with, and the person whom a key acts for.

        Raises Unauthenticated likewise, and for that person NotFound, Gone and Forbidden.
        """
        if principal.key_id is None:
            return await self._of_token(principal.token_digest, None)
        # By their id, since another person may have come under the external one meanwhile.
        person = None if principal.acts_for_nobody else OnBehalfOf(user_id=principal.user_id)
        found = await self._of_key(principal.token_digest, person)
        found.check_subject()
        return found

    async def _of_token(self, digest: bytes, on_behalf_of: OnBehalfOf | None) -> Principal:
        looked_up_at = time.monotonic()
        values = {"digest": digest, "idle": self._idle}
        row = await self._row(CALLER_OF_TOKEN, values)
        return Principal(
            user_id=row["user_id"],
            tenant_id=row["tenant_id"],
            username=row["username"],
            roles=_roles(row["roles"]),
            token_digest=digest,
            looked_up_at=looked_up_at,
            scopes=_scopes(row["scopes"]),
            on_behalf_of=on_behalf_of,
            wrapped_key=_wrapped_key(row),
            is_sealing=row["is_sealing"],
        )

    async def _of_key(self, digest: bytes, on_behalf_of: OnBehalfOf | None) -> Principal:
        looked_up_at = time.monotonic()
        user_id, external_id, _ = on_behalf_of or NOBODY
        values = {"digest": digest, "user_id": user_id, "external_id": external_id}
        row = await self._row(CALLER_OF_KEY, values)
        state = row["subject_state"]
        return Principal(
            user_id=row["user_id"] or row["key_id"],
            tenant_id=row["tenant_id"],
            username=row["username"] or f"\\{row['tenant_name']}\\",
            roles=_roles(row["roles"] or "[]"),
            token_digest=digest,
            looked_up_at=looked_up_at,
            scopes=_scopes(row["scopes"]),
            key_id=row["key_id"],
            on_behalf_of=on_behalf_of,
            subject_state=state and SubjectState(state),
            wrapped_key=_wrapped_key(row),
            is_sealing=row["is_sealing"],
        )

    async def _row(self, statement: Statement, values: dict[str, Any]) -> asyncpg.Record:
        rows = await self._database.fetch(statement, values)
        if not rows:
            raise Unauthenticated
        return rows[0]


def _wrapped_key(row: asyncpg.Record) -> WrappedKey | None:
    if row["wrapped_id"] is None:
        return None
    return WrappedKey(row["wrapped_id"], row["master_id"], row["wrapped"])


@lru_cache
def _roles(stored: str) -> frozenset[Role]:
    """Decodes the JSONB text; cached, since few combinations exist."""
    return frozenset(msgspec.json.decode(stored, type=list[Role]))


@lru_cache
def _scopes(stored: str | None) -> frozenset[Scope] | None:
    """Decodes likewise; None for a token of a login, which has no limits."""
    return None if stored is None else frozenset(msgspec.json.decode(stored, type=list[Scope]))
