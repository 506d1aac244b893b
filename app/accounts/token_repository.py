"""Access tokens are stored only for users whose rows say that they may log in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Uuid, delete, func, insert, literal, select, text, true, tuple_
from sqlalchemy.dialects.postgresql import JSONB

from app.accounts.caller_models import AccessToken, ApiKey
from app.accounts.models import User
from app.databases.repository import Repository
from app.http.paging import Place
from app.http.security import Role

MOST = 100  # live tokens a user
LOCK_ACTOR = text("SELECT lock_actor(:actor, :token)")
LOCK_KEY = text("SELECT lock_key(:digest, :subject) IS NOT NULL")
END_OLDEST = text("""
DELETE FROM access_tokens WHERE user_id = :user_id AND expires_at > now() AND digest NOT IN (
    SELECT t.digest FROM access_tokens t WHERE t.user_id = :user_id AND t.expires_at > now()
    ORDER BY t.created_at DESC, t.id DESC LIMIT :most)
""")


class Issued(NamedTuple):
    """A stored token's absolute end, and what to ask its user for."""

    expires_at: datetime
    must_change_password: bool


class TokenRepository(Repository[AccessToken]):
    model_type = AccessToken

    async def issue(
        self, digest: bytes, user_id: UUID, password_hash: str, lifetime: timedelta
    ) -> Issued | None:
        """Store a token of a user who may log in with this hash, or answer None.

        The row's lock waits for whoever is blocking, deleting or changing them.
        """
        user = (
            select(User.tenant_id, User.id, User.must_change_password)
            .where(User.id == user_id, User.password_hash == password_hash)
            .where(User.is_active, ~User.is_blocked)
            .with_for_update(key_share=True)
            .cte("locked")
        )
        # By the clock that will judge it: this process's may be wrong, or the other replica's.
        new = select(literal(digest), user.c.tenant_id, user.c.id, func.now() + lifetime)
        columns = ["digest", "tenant_id", "user_id", "expires_at"]
        token = insert(AccessToken).from_select(columns, new).returning(AccessToken.expires_at)
        stored = token.cte("stored")
        query = select(stored.c.expires_at, user.c.must_change_password)
        query = query.select_from(stored.join(user, true()))
        row = (await self.session.execute(query)).one_or_none()
        if row is None:
            return None
        await self._end_oldest(user_id)
        return Issued(*row)

    async def mint(
        self,
        digest: bytes,
        user_id: UUID,
        lifetime: timedelta,
        scopes: Sequence[str],
        key_id: UUID | None,
    ) -> datetime | None:
        """Store a token for a user of the session's tenant, or answer None if they may not log in.

        One that an API key mints ends no later than the key.
        """
        expires_at = func.least(
            func.now() + lifetime,
            select(ApiKey.expires_at).where(ApiKey.id == key_id).scalar_subquery(),
        )
        user = (
            select(
                literal(digest),
                User.tenant_id,
                User.id,
                expires_at,
                literal(list(scopes), JSONB),
                literal(key_id, Uuid),
            )
            .where(User.id == user_id, User.is_active, ~User.is_blocked)
            .with_for_update(key_share=True)
        )
        columns = ["digest", "tenant_id", "user_id", "expires_at", "scopes", "api_key_id"]
        query = insert(AccessToken).from_select(columns, user).returning(AccessToken.expires_at)
        stored_until = await self.session.scalar(query)
        if stored_until is not None:
            await self._end_oldest(user_id)
        return stored_until

    async def _end_oldest(self, user_id: UUID) -> None:
        """End the oldest tokens beyond MOST. The lock of the user's row makes others wait."""
        await self.session.execute(END_OLDEST, {"user_id": user_id, "most": MOST})

    async def page(self, user_id: UUID, *, rows: int, after: Place | None) -> Sequence[AccessToken]:
        """Live ones, newest first."""
        order = tuple_(AccessToken.created_at, AccessToken.id)
        query = (
            self.statement.where(AccessToken.expires_at > func.now())
            .order_by(AccessToken.created_at.desc(), AccessToken.id.desc())
            .limit(rows)
        )
        if after is not None:
            query = query.where(order < (after.at, after.id))
        return await self.get_many(statement=query, user_id=user_id)

    async def end_one(self, user_id: UUID, token_id: UUID) -> bool:
        """End a token of the user's by its id. False: there is none."""
        query = delete(AccessToken).where(
            AccessToken.user_id == user_id, AccessToken.id == token_id
        )
        return await self.session.scalar(query.returning(AccessToken.digest)) is not None

    async def lock_actor(self, user_id: UUID, digest: bytes) -> list[Role] | None:
        """Hold user and token to the end of the transaction, and read the user's roles.

        None where the token has ended or the user may not log in.
        """
        return await self.session.scalar(LOCK_ACTOR, {"actor": user_id, "token": digest})

    async def lock_key(self, digest: bytes, subject: UUID | None) -> bool:
        """Hold an API key, and whom it acts for, likewise. False where either may not act."""
        return bool(await self.session.scalar(LOCK_KEY, {"digest": digest, "subject": subject}))

    async def end(self, digest: bytes) -> bool:
        """False for a token that has ended before."""
        query = delete(AccessToken).where(AccessToken.digest == digest)
        return await self.session.scalar(query.returning(AccessToken.digest)) is not None

    async def end_all(self, user_id: UUID, *, keep: bytes | None = None) -> None:
        """End the user's tokens but the one with the digest `keep`."""
        query = delete(AccessToken).where(AccessToken.user_id == user_id)
        if keep is not None:
            query = query.where(AccessToken.digest != keep)
        await self.session.execute(query)
