"""Writes on a person's behalf: none is committed long after the look-up that allowed it.

(a) A request's caller was looked up in the user database, which a block, a deletion or a revocation
    may change a moment later.
(b) Here the write may wait: for a connection, for a row's lock, for a server that stands still.
(c) So each write carries the moment until which its look-up counts, HOLDS_SECONDS after that was
    sent, in the clock of the server. check_write compares, as the last act before COMMIT.
(d) Whoever comes too late is looked up again, and what they write is written once more, with the
    same ids: nothing of the first attempt was committed.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from functools import partial
from typing import NoReturn, TypeAlias, TypeVar
from uuid import UUID

from asyncpg import PostgresError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.chat.appended import Appended
from app.chat.fetching import Fetch, within
from app.chat.turns import Turns
from app.chat.words import writing
from app.databases.causes import LOOK_UP_TOO_OLD, OWNER_CLOSED, sqlstate
from app.databases.database import Database
from app.databases.sealing.sealing import Sealing
from app.databases.sessions import GeneralSession, not_after_for
from app.http.errors import Unauthenticated, Unavailable
from app.http.idempotency import KeyedRequest, Once, still_running
from app.http.security import Principal
from app.http.stored_answers import AnswerKeys

HOLDS_SECONDS = 1.0
CHECK = text("SELECT check_write(:tenant_id, :user_id, :not_after)")

T = TypeVar("T")
U = TypeVar("U")
# Raises Unauthenticated for who may not act any more.
LookUpAgain = Callable[[Principal], Awaitable[Principal]]
# Writes by a look-up that counts until this moment of the monotonic clock.
Attempt: TypeAlias = Callable[[float], Awaitable[T]]


class LookUpTooOld(Unavailable):  # a problem, see errors.py
    """The database took too long; try again."""


class SealingSwitched(Unavailable):  # a problem, see errors.py
    """Sealing has just been switched on or off; try again."""


class Writes:
    """Raises Unauthenticated for who may not write any more, whenever that was committed."""

    def __init__(
        self,
        general: Database[GeneralSession],
        look_up_again: LookUpAgain,
        sealing: Sealing,
        *,
        answers_kept_seconds: float,
        turn_seconds: float,
    ) -> None:
        self.fetch = general.fetch
        self._general = general
        self._look_up_again = look_up_again
        self.sealing = sealing
        self._kept_seconds = answers_kept_seconds
        self.turns = Turns(turn_seconds)

    async def append(
        self,
        actor: Principal,
        session_id: UUID,
        request: KeyedRequest | None,
        write: Callable[[Fetch], Awaitable[Appended[T]]],
    ) -> Appended[T | bytes]:
        """Create in a conversation, when it is its turn. Raises Conflict for a key under way."""
        turn = self.turns.turn((actor.user_id, session_id))
        if request is None:
            async with turn:
                return await self.at_once(actor, write)

        async def keep(
            once: Once, appended: Appended[T], deadline: datetime | None
        ) -> Appended[T | bytes]:
            if not appended.is_new:
                return appended  # sent again, it will be found again
            kept = await once.keep(
                appended.answer, session_id, positions=appended.positions, not_after=deadline
            )
            return Appended(kept, *appended[1:])

        async with self._alone(actor, request), turn:
            found = await self._once(actor, request, write, keep)
            return Appended(found) if isinstance(found, bytes) else found

    def _alone(self, actor: Principal, request: KeyedRequest) -> AbstractAsyncContextManager[None]:
        """Take the key's own turn, which is never waited for.

        The database's lock says the same, to other processes; here it is asked before the wait.
        """
        key = (actor.actor_id, actor.user_id, request.key)
        if self.turns.is_taken(key):
            raise still_running()
        return self.turns.turn(key)

    async def create(
        self,
        actor: Principal,
        request: KeyedRequest | None,
        write: Callable[[Fetch], Awaitable[T]],
    ) -> T | bytes:
        """Create once for each key, whose answer is stored."""
        if request is None:
            return await self.at_once(actor, write)

        async def keep(once: Once, written: T, deadline: datetime | None) -> T | bytes:
            return await once.keep(written, not_after=deadline)

        return await self._once(actor, request, write, keep)

    async def _once(
        self,
        actor: Principal,
        request: KeyedRequest,
        write: Callable[[Fetch], Awaitable[T]],
        keep: Callable[[Once, T, datetime | None], Awaitable[U]],
    ) -> U | bytes:
        seal = await writing(self.sealing, actor)
        keys = AnswerKeys(seal.opens, seal.key)

        async def attempt(not_after: float) -> U | bytes:
            async with self._general.session(actor.tenant_id) as session:
                once = Once(session, actor, request, kept_seconds=self._kept_seconds, keys=keys)
                if stored := await once.stored():
                    return stored
                written = await write(within(session))
                deadline = await self._deadline(session, actor, not_after)
                return await keep(once, written, deadline)

        return await self._held(actor, attempt)

    async def at_once(self, actor: Principal, write: Callable[[Fetch], Awaitable[T]]) -> T:
        """Write in one statement, whose function ends with the check."""
        return await self._held(actor, self._in_one_statement(write))

    async def however_long(self, actor: Principal, write: Callable[[Fetch], Awaitable[T]]) -> T:
        """Write in one statement that may take longer than a look-up counts.

        If it did, nothing is written, and it is done again in a transaction whose check comes
        after another look-up.
        """

        at_once = self._in_one_statement(write)
        slowly = self._checked(actor, lambda session: write(within(session)))
        return await self._held(actor, at_once, slowly)

    def _in_one_statement(self, write: Callable[[Fetch], Awaitable[T]]) -> Attempt[T]:
        async def attempt(not_after: float) -> T:
            return await write(partial(self.fetch, not_after=not_after))

        return attempt

    async def in_transaction(
        self, actor: Principal, write: Callable[[GeneralSession], Awaitable[T]]
    ) -> T:
        """Write in several statements, after which the check is made."""
        attempt = self._checked(actor, write)
        return await self._held(actor, attempt)

    def _checked(
        self, actor: Principal, write: Callable[[GeneralSession], Awaitable[T]]
    ) -> Attempt[T]:
        async def attempt(not_after: float) -> T:
            async with self._general.session(actor.tenant_id) as session:
                written = await write(session)
                deadline = await self._deadline(session, actor, not_after)
                await session.execute(CHECK, actor.whose | {"not_after": deadline})
                return written

        return attempt

    async def _deadline(self, session: GeneralSession, actor: Principal, at: float) -> datetime:
        """Look the actor up again after many rows, or a long wait for them."""
        if time.monotonic() > at:
            at = _end(await self._again(actor))
        return await not_after_for(session, at)

    async def _again(self, actor: Principal) -> Principal:
        """Look up again whoever writes what was made ready, sealed or plain, by the first look-up.

        Raises SealingSwitched where it would be made ready otherwise by now.
        """
        found = await self._look_up_again(actor)
        if not found.stores_like(actor):
            raise SealingSwitched
        return found

    async def _held(
        self, actor: Principal, attempt: Attempt[T], second: Attempt[T] | None = None
    ) -> T:
        if time.monotonic() > _end(actor):  # it has waited already, for its turn perhaps
            actor = await self._again(actor)
        try:
            return await _attempted(attempt, _end(actor))
        except LookUpTooOld:
            actor = await self._again(actor)
        return await _attempted(second or attempt, _end(actor))

    async def once_more(
        self,
        actor: Principal,
        write: Callable[[Fetch], Awaitable[T]],
        error: PostgresError,
    ) -> T:
        """Write by another look-up what one statement refused as too late; else raise the error."""
        try:
            _tell(error)
        except LookUpTooOld:
            actor = await self._again(actor)
        return await _attempted(self._in_one_statement(write), _end(actor))


def _end(actor: Principal) -> float:
    """The look-up counts until then, on the monotonic clock."""
    return actor.looked_up_at + HOLDS_SECONDS


async def _attempted(attempt: Attempt[T], not_after: float) -> T:
    """Tells what check_write says from other errors of the database."""
    try:
        return await attempt(not_after)
    except (PostgresError, DBAPIError) as error:
        _tell(error)


def _tell(error: Exception) -> NoReturn:
    state, _ = sqlstate(error)
    if state == LOOK_UP_TOO_OLD:
        raise LookUpTooOld from error
    if state == OWNER_CLOSED:
        raise Unauthenticated from error
    raise error
