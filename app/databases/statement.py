"""Statements that are sent in one round trip: beneath the hot routes, past SQLAlchemy's execution.

Each is a transaction of its own: PostgreSQL commits it before it reports success, so what
`Pool.fetch` returns is committed. A statement names its tenant itself, by a function that makes the
setting (migration g0006).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, Protocol

from asyncpg import Record
from sqlalchemy import TextClause
from sqlalchemy.dialects.postgresql.asyncpg import dialect


class Statement:
    """Compiled once, at import. `clause` is for a session, where it is one of several.

    One that only `reads`, or does nothing twice, is asked again if its connection is lost.
    """

    def __init__(self, clause: TextClause, *, reads: bool = False) -> None:
        compiled = clause.compile(dialect=dialect())
        self.clause = clause
        self.reads = reads
        self.sql = str(compiled)
        names = compiled.positiontup or ()
        self.has_deadline = "not_after" in names
        self.in_order = itemgetter(*names)


class Fetch(Protocol):
    """Fetches as Pool does."""

    async def __call__(
        self, statement: Statement, values: Mapping[str, Any], *, not_after: float | None = None
    ) -> Sequence[Record]: ...
