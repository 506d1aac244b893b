"""Attempts at a write: what check_write says of them is told apart from the database's errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

from asyncpg import PostgresError
from sqlalchemy.exc import DBAPIError

from app.databases.causes import LOOK_UP_TOO_OLD, OWNER_CLOSED, sqlstate
from app.http.errors import Unauthenticated, Unavailable

T = TypeVar("T")
# Writes by a look-up that counts until this moment of the monotonic clock.
Attempt: TypeAlias = Callable[[float], Awaitable[T]]


class LookUpTooOld(Unavailable):  # a problem, see errors.py
    """The database took too long; try again."""


async def attempted(attempt: Attempt[T], not_after: float) -> T:
    """Tells what check_write says from other errors of the database."""
    try:
        return await attempt(not_after)
    except (PostgresError, DBAPIError) as error:
        state, _ = sqlstate(error)
        if state == LOOK_UP_TOO_OLD:
            raise LookUpTooOld from error
        if state == OWNER_CLOSED:
            raise Unauthenticated from error
        raise
