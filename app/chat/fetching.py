"""A write asks its statements of a `Fetch`: each by itself, or all in one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from app.databases.sessions import GeneralSession
from app.databases.statement import Statement

# Runs a statement by itself, or within a session's transaction.
Fetch = Callable[[Statement, Mapping[str, Any]], Awaitable[Sequence[Any]]]


def within(session: GeneralSession) -> Fetch:
    """Run statements in the session's transaction, which ends with the check of the author."""

    async def fetch(statement: Statement, values: Mapping[str, Any]) -> Sequence[Any]:
        return (await session.execute(statement.clause, {"not_after": None, **values})).all()

    return fetch
