"""Tokens for people's own devices: minted, listed and ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from app.accounts.audit import Action, Audit
from app.accounts.authority import Authority
from app.accounts.caller_models import AccessToken
from app.accounts.token_repository import TokenRepository
from app.accounts.tokens import new_token, token_digest
from app.accounts.users import UserService
from app.databases.sessions import UserSession
from app.http.errors import Forbidden, NotFound, Unauthenticated
from app.http.paging import Place
from app.http.security import Principal, Scope


class Minted(NamedTuple):
    """A fresh token; `expires_at` is its absolute end."""

    token: str
    expires_at: datetime


class TokenService:
    """Raises NotFound for whom the actor does not administer, Forbidden for whom they may not act
    on, and Unauthenticated for who was shut out meanwhile.
    """

    def __init__(self, session: UserSession) -> None:
        self._authority = Authority(session)
        self._users = UserService(session)
        self._tokens = TokenRepository(session)
        self._audit = Audit(session)

    async def log_out(self, actor: Principal) -> None:
        """End the token that the request was made with; Unauthenticated if it has ended since."""
        if not await self._tokens.end(actor.token_digest):
            raise Unauthenticated
        await self._audit.note(actor, actor.user_id, Action.TOKEN_ENDED)

    async def mint(
        self, actor: Principal, user_id: UUID, lifetime: timedelta, scopes: Sequence[Scope]
    ) -> Minted:
        """Make a token with which the user reaches their own conversations, and nothing else."""
        await self._users.for_change(actor, user_id)
        token, names = new_token(), sorted({scope.value for scope in scopes})
        expires_at = await self._tokens.mint(
            token_digest(token), user_id, lifetime, names, actor.key_id
        )
        if expires_at is None:
            raise Forbidden("This user is blocked or not active.")
        await self._audit.note(actor, user_id, Action.TOKEN_MINTED)
        return Minted(token, expires_at)

    async def end_all(self, actor: Principal, user_id: UUID) -> None:
        """End every token of the user's, those of logins as well."""
        await self._users.for_change(actor, user_id)
        await self._tokens.end_all(user_id)
        await self._audit.note(actor, user_id, Action.TOKEN_ENDED)

    async def own(
        self, person: Principal, *, limit: int, after: Place | None
    ) -> Sequence[AccessToken]:
        """Live ones, newest first, one more than `limit` if there are more."""
        return await self._tokens.page(person.user_id, rows=limit + 1, after=after)

    async def of(self, user_id: UUID, *, limit: int) -> Sequence[AccessToken]:
        """List the live tokens of a user of the tenant that the session acts in, newest first."""
        return await self._tokens.page(user_id, rows=limit, after=None)

    async def end_own(self, person: Principal, token_id: UUID) -> None:
        await self._authority.recheck_own(person)
        if not await self._tokens.end_one(person.user_id, token_id):
            raise NotFound
        await self._audit.note(person, person.user_id, Action.TOKEN_ENDED)
