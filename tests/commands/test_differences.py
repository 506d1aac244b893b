"""`litestar reconcile` lists the first of very many whose credentials may be old."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from app.bridge.reconcile.credentials import ApiKey, Credentials, Person
from app.bridge.reconcile.reconciler import Outcome
from app.commands.differences import LISTED, lines

AT = datetime(2026, 1, 1, tzinfo=UTC)
NOTHING = UUID(int=0)


def test_the_first_of_each_kind_are_listed_and_the_others_counted() -> None:
    for people, keys, more in ((LISTED, LISTED, 0), (LISTED + 3, 2, 3), (2, LISTED + 4, 4)):
        old = Credentials(
            [Person(NOTHING, UUID(int=n), AT, is_blocked=False, roles=[]) for n in range(people)],
            [ApiKey(NOTHING, UUID(int=n), AT) for n in range(keys)],
        )
        printed = [*lines(Outcome(frozenset(), frozenset(), old=old), repaired=False)]
        listed = [line for line in printed if line.startswith("may be old: ")]
        assert len(listed) == min(people, LISTED) + min(keys, LISTED)
        others = [line for line in printed if "more may be old" in line]
        told = f"{more} more may be old; --json lists all, --since fewer."
        assert others == ([told] if more else [])
