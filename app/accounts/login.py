"""Login, and the confirmation of one's own password."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from app.accounts.audit import Action, Actor, ActorType, Audit
from app.accounts.digests import Digester, LoginDigests
from app.accounts.passwords import Passwords
from app.accounts.repositories import UserRepository
from app.accounts.throttle import Credentials, Throttle, note_refusal
from app.accounts.token_repository import TokenRepository
from app.accounts.tokens import new_token, token_digest
from app.config.settings import Settings
from app.databases.database import Databases
from app.http.errors import Forbidden, Unauthenticated
from app.http.security import Principal

WRONG = "The username or the password is wrong."


class Grant(NamedTuple):
    """A fresh token; `expires_at` is its absolute end."""

    token: str
    expires_at: datetime
    must_change_password: bool


class Login:
    """Whatever is wrong costs the same, answers the same and counts the same."""

    def __init__(
        self, databases: Databases, passwords: Passwords, digester: Digester, settings: Settings
    ) -> None:
        self._database = databases.user
        self._passwords = passwords
        self._throttle = Throttle(databases.user, digester, settings)
        self._lifetime = timedelta(seconds=settings.token_lifetime_seconds)

    async def log_in(self, username: str, password: str, address: str) -> Grant:
        """Raises Unauthenticated, TooManyRequests, and Unavailable when hashing is saturated."""
        digests = await self._throttle.digests_of(username, address)
        for _ in range(2):  # once more when the password's hash was replaced meanwhile
            who = await self._check(username, password, digests)
            if who is None or not who.may_log_in:
                break
            if grant := await self._admit(who, password, digests):
                return grant
        note_refusal("credentials", digests)
        raise Unauthenticated(WRONG)

    async def _check(
        self, username: str, password: str, digests: LoginDigests
    ) -> Credentials | None:
        """None for a wrong password, and, at the same cost, for no such user."""
        who = await self._throttle.begin(username, digests)
        matches = await self._passwords.verify(who and who.password_hash, password)
        return who if matches else None

    async def _admit(self, who: Credentials, password: str, digests: LoginDigests) -> Grant | None:
        """None if a block, a deletion or another password hash was committed in between."""
        renewed = await self._renewed(who, password)
        token = new_token()
        async with self._database.session(who.tenant_id) as session:
            issued = await TokenRepository(session).issue(
                token_digest(token), who.user_id, who.password_hash, self._lifetime
            )
            if issued is None:
                return None
            if renewed:
                await UserRepository(session).set_hash(who.user_id, renewed)
            who_acts = Actor(ActorType.USER, who.user_id)
            await Audit(session).note(who_acts, who.user_id, Action.LOGIN)
            await self._throttle.confirm_in(session, digests)
        return Grant(token, issued.expires_at, issued.must_change_password)

    async def _renewed(self, who: Credentials, password: str) -> str | None:
        """The password's hash by today's parameters, if the stored one was made by others."""
        if not self._passwords.is_outdated(who.password_hash):
            return None
        return await self._passwords.hash(password)

    async def confirm(self, person: Principal, password: str, address: str) -> str:
        """Give the stored hash that the password matches; a stolen token guesses no faster.

        Raises Forbidden, TooManyRequests and Unavailable, and Unauthenticated for who is gone.
        """
        digests = await self._throttle.digests_of(person.username, address)
        who = await self._throttle.begin(person.username, digests)
        if who is None:  # deleted since the request's token was looked up
            raise Unauthenticated
        if not await self._passwords.verify(who.password_hash, password):
            note_refusal("confirmation", digests)
            raise Forbidden("The current password is wrong.")
        await self._throttle.confirm(digests)
        return who.password_hash
