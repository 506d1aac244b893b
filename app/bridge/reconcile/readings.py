"""What reconcile reads: digests of both databases, whom they differ in, what each knows of them.

A foreign key proves that every session has an owner, so owners and the ledger are compared, and
where they agree only 65,536 digests travel. Everything is read in pages, in single statements.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, TextClause, text

from app.bridge.reconcile.differences import Difference, Key, Kind, OwnerFacts, UserFacts, compare
from app.databases.database import Database, Databases

BUCKETS = 65_536
PAGE = 10_000
FIRST = Key(UUID(int=0), UUID(int=0))

LEDGER_DIGEST = text("SELECT * FROM ledger_digest()")
OWNER_DIGEST = text("SELECT * FROM owner_digest()")
LEDGER_KEYS = text("SELECT * FROM ledger_keys(:gone, :tenant_id, :user_id, :page)")
OWNER_KEYS = text("SELECT * FROM owner_keys(:living, :gone, :tenant_id, :user_id, :page)")
LEDGER_SUSPECTS = text("SELECT * FROM ledger_suspects()")
OWNER_SUSPECTS = text("SELECT * FROM owner_suspects()")
LEDGER_FACTS = text("SELECT * FROM ledger_facts(CAST(:tenants AS uuid[]), CAST(:users AS uuid[]))")
OWNER_FACTS = text("SELECT * FROM owner_facts(CAST(:tenants AS uuid[]), CAST(:users AS uuid[]))")
STRAY_MESSAGES = text("SELECT * FROM stray_messages()")
BROKEN_RECEIPTS = text("SELECT * FROM broken_receipts()")

Watch = Callable[[str, int, int], Awaitable[None]]
Living = tuple[int, int]  # count, hash
NOBODY: Living = (0, 0)


async def nobody_watches(stage: str, done: int, total: int) -> None:
    """What a terminal shows, and where a test steps in."""


class Readings:
    def __init__(self, databases: Databases, watch: Watch = nobody_watches) -> None:
        self._user = databases.user
        self._general = databases.general
        self._watch = watch

    async def differences(self, keys: Sequence[Key]) -> dict[Key, Kind]:
        """The ledger is read first: what it says is delivered was erased before that.

        The other way round a user erased between the two readings would look as if restored. A
        user created and talking between them looks a stranger; the second look knows better.
        """
        found: dict[Key, Kind] = {}
        for start in range(0, len(keys), PAGE):
            page = keys[start : start + PAGE]
            users = await _facts(self._user, LEDGER_FACTS, page, UserFacts)
            await self._watch("between", 0, 0)
            owners = await _facts(self._general, OWNER_FACTS, page, OwnerFacts)
            for key in users.keys() | owners.keys():
                if kind := compare(users.get(key, UserFacts()), owners.get(key, OwnerFacts())):
                    found[key] = kind
        return found

    async def suspects(self) -> AsyncGenerator[Sequence[Key]]:
        """Everybody in whom the two may differ, some twice, in pages."""
        await self._watch("digests", 0, 0)
        ledger, owners = await asyncio.gather(
            _digest(self._user, LEDGER_DIGEST), _digest(self._general, OWNER_DIGEST)
        )
        await self._watch("suspects", 0, 0)
        living, gone = differing(ledger, owners)
        yield await self._keys(self._user, LEDGER_SUSPECTS)
        yield await self._keys(self._general, OWNER_SUSPECTS)
        total = sum(row.living + row.gone for row in owners.values())
        masks = {"living": _mask(living), "gone": _mask(gone)}
        if gone:
            async for page in self._pages(self._user, LEDGER_KEYS, {"gone": masks["gone"]}, total):
                yield page
        if living or gone:
            async for page in self._pages(self._general, OWNER_KEYS, masks, total):
                yield page

    async def pending(self, keys: Sequence[Key]) -> int:
        """How many of them wait for a relay."""
        count = 0
        for start in range(0, len(keys), PAGE):
            users = await _facts(self._user, LEDGER_FACTS, keys[start : start + PAGE], UserFacts)
            count += sum(one.state == "deleted" and one.is_pending for one in users.values())
        return count

    async def stray_messages(self) -> set[Difference]:
        rows = await _rows(self._general, STRAY_MESSAGES)
        return {
            Difference(Kind.STRAY_MESSAGES, row.tenant_id, session_id=row.session_id)
            for row in rows
        }

    async def broken_receipts(self) -> set[Difference]:
        rows = await _rows(self._general, BROKEN_RECEIPTS)
        return {
            Difference(Kind.CHAIN_BROKEN, row.tenant_id, row.user_id, thing=f"receipt {row.seq}")
            for row in rows
        }

    async def _keys(
        self, database: Database[Any], statement: TextClause, values: dict[str, Any] | None = None
    ) -> list[Key]:
        return [Key(*row) for row in await _rows(database, statement, values)]

    async def _pages(
        self, database: Database[Any], statement: TextClause, masks: dict[str, Any], total: int
    ) -> AsyncGenerator[Sequence[Key]]:
        last, seen = FIRST, 0
        while page := await self._keys(database, statement, masks | last._asdict() | LIMIT):
            last, seen = page[-1], seen + len(page)
            await self._watch("users", seen, total)
            yield page


LIMIT = {"page": PAGE}
Digest = dict[int, Row[Any]]


def differing(ledger: Digest, owners: Digest) -> tuple[set[int], set[int]]:
    """The buckets to look into, of the living and of those who are gone.

    The ledger may have more of the living: who never talked has no owner.
    """
    living = {
        bucket
        for bucket, row in owners.items()
        if row.living and _living(ledger.get(bucket)) != _living(row)
    }
    both = ledger.keys() | owners.keys()
    return living, {one for one in both if _gone(ledger.get(one)) != _gone(owners.get(one))}


def _living(row: Row[Any] | None) -> Living:
    return (row.living, row.living_hash) if row else NOBODY


def _gone(row: Row[Any] | None) -> Living:
    return (row.gone, row.gone_hash) if row else NOBODY


def _mask(buckets: Iterable[int]) -> bytes:
    """As get_bit counts: from a byte's least significant bit."""
    mask = bytearray(BUCKETS // 8)
    for bucket in buckets:
        mask[bucket // 8] |= 1 << bucket % 8
    return bytes(mask)


async def _digest(database: Database[Any], statement: TextClause) -> Digest:
    return {row.bucket: row for row in await _rows(database, statement)}


async def _facts(
    database: Database[Any], statement: TextClause, keys: Sequence[Key], facts: Any
) -> dict[Key, Any]:
    """Of those about whom there is something to say."""
    arrays = {"tenants": [k.tenant_id for k in keys], "users": [k.user_id for k in keys]}
    rows = await _rows(database, statement, arrays)
    return {Key(row.tenant_id, row.user_id): facts(*row[2:]) for row in rows}


async def _rows(
    database: Database[Any], statement: TextClause, values: dict[str, Any] | None = None
) -> Sequence[Row[Any]]:
    async with database.one_statement() as connection:
        return (await connection.execute(statement, values or {})).all()
