"""Reconcile reads digests of both databases, users on whom they differ, facts about those.

A foreign key proves that every session has an owner, so it is owners and the ledger that are
compared; where they agree, only 65,536 digests travel. Each page is a single statement.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import TextClause, text

from app.bridge.heartbeats import restored
from app.bridge.reconcile.differences import (
    RESTORED,
    Difference,
    Key,
    Kind,
    OwnerFacts,
    UserFacts,
    compare,
    open_owner,
    present_user,
)
from app.bridge.rows import fetch_as, pages_of
from app.databases.database import Database, Databases

BUCKETS = 65_536
PAGE = 10_000

LEDGER_DIGEST = text("SELECT * FROM ledger_digest()")
OWNER_DIGEST = text("SELECT * FROM owner_digest()")
LEDGER_KEYS = text("SELECT * FROM ledger_keys(:gone, :tenant_id, :user_id, :page)")
OWNER_KEYS = text("SELECT * FROM owner_keys(:living, :gone, :tenant_id, :user_id, :page)")
LEDGER_SUSPECTS = text("SELECT * FROM ledger_suspects()")
OWNER_SUSPECTS = text("SELECT * FROM owner_suspects()")
LEDGER_FACTS = text("SELECT * FROM ledger_facts(CAST(:tenants AS uuid[]), CAST(:users AS uuid[]))")
OWNER_FACTS = text("""
SELECT tenant_id, user_id, state, is_dated, receipt, has_sessions AS has_rows
FROM owner_facts(CAST(:tenants AS uuid[]), CAST(:users AS uuid[]))
""")
STRAY_MESSAGES = text("SELECT * FROM stray_messages()")
BROKEN_RECEIPTS = text("SELECT * FROM broken_receipts()")

Watch = Callable[[str, int, int], Awaitable[None]]
F = TypeVar("F", UserFacts, OwnerFacts)


async def nobody_watches(stage: str, done: int, total: int) -> None:
    """Ignore the progress. A terminal shows it instead, and tests step in there."""


class Bucket(NamedTuple):
    """One of 65,536 parts of all users: how many are living and gone, and XORs of their hashes."""

    bucket: int
    living: int
    living_hash: int
    gone: int
    gone_hash: int


class StrayMessages(NamedTuple):
    tenant_id: UUID
    session_id: UUID


class BrokenReceipt(NamedTuple):
    tenant_id: UUID
    user_id: UUID
    seq: int


Digest = dict[int, Bucket]


class Readings:
    """Reads both databases and changes nothing; `watch` is told how far it is."""

    def __init__(
        self, databases: Databases, watch: Watch = nobody_watches, page: int = PAGE
    ) -> None:
        self._page = page
        self._databases = databases
        self._user = databases.user
        self._general = databases.general
        self._watch = watch

    async def suspects(self) -> AsyncGenerator[Sequence[Key]]:
        """Yield everybody on whom the two may differ, in pages; some come twice."""
        await self._watch("digests", 0, 0)
        ledger, owners = await asyncio.gather(
            _digest(self._user, LEDGER_DIGEST), _digest(self._general, OWNER_DIGEST)
        )
        await self._watch("suspects", 0, 0)
        yield await fetch_as(Key, self._user, LEDGER_SUSPECTS)
        yield await fetch_as(Key, self._general, OWNER_SUSPECTS)
        living, gone = differing(ledger, owners)
        masks = {"living": _mask(living), "gone": _mask(gone)}
        total = sum(bucket.living + bucket.gone for bucket in owners.values())
        if gone:
            async for page in self._pages(self._user, LEDGER_KEYS, {"gone": masks["gone"]}, total):
                yield page
        if living or gone:
            async for page in self._pages(self._general, OWNER_KEYS, masks, total):
                yield page

    async def differences(self, keys: Sequence[Key]) -> dict[Key, Kind]:
        """Compare what the two databases know of these users.

        The ledger is read first: what it says is delivered was erased before that. The other way
        round, a user erased between the two statements would look as if restored. A user who is
        created and talks between them looks like a stranger, until the second reading.
        """
        found: dict[Key, Kind] = {}
        for page in self._in_pages(keys):
            users = await _facts(UserFacts, self._user, LEDGER_FACTS, page)
            await self._watch("between", 0, 0)
            owners = await _facts(OwnerFacts, self._general, OWNER_FACTS, page)
            for key in users.keys() | owners.keys():
                user, owner = users.get(key, present_user(key)), owners.get(key, open_owner(key))
                if kind := compare(user, owner):
                    found[key] = kind
        return found

    async def pending(self, keys: Sequence[Key]) -> int:
        """Count those of these users who wait for a relay."""
        count = 0
        for page in self._in_pages(keys):
            users = await _facts(UserFacts, self._user, LEDGER_FACTS, page)
            count += sum(one.state == "deleted" and one.is_pending for one in users.values())
        return count

    async def stray_messages(self) -> set[Difference]:
        """Find messages whose session is not there."""
        return {
            Difference(Kind.STRAY_MESSAGES, row.tenant_id, session_id=row.session_id)
            for row in await fetch_as(StrayMessages, self._general, STRAY_MESSAGES)
        }

    async def restored(self) -> set[Difference]:
        """Find databases that are behind what the other one has seen of them."""
        return {
            Difference(RESTORED[one.name], thing=one.time)
            for one in await restored(self._databases)
        }

    async def broken_receipts(self) -> set[Difference]:
        """Find receipts that break the chain."""
        return {
            Difference(Kind.CHAIN_BROKEN, row.tenant_id, row.user_id, thing=f"receipt {row.seq}")
            for row in await fetch_as(BrokenReceipt, self._general, BROKEN_RECEIPTS)
        }

    async def _pages(
        self, database: Database[Any], statement: TextClause, masks: dict[str, Any], total: int
    ) -> AsyncGenerator[Sequence[Key]]:
        seen = 0
        async for page in pages_of(Key, database, statement, masks, page=self._page):
            seen += len(page)
            await self._watch("users", seen, total)
            yield page

    def _in_pages(self, keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
        for start in range(0, len(keys), self._page):
            yield keys[start : start + self._page]


def differing(ledger: Digest, owners: Digest) -> tuple[set[int], set[int]]:
    """Return the buckets to look into: of the living, and of those who are gone.

    The ledger may have more of the living, since a user who never talked has no owner.
    """
    living = {
        number
        for number, owner in owners.items()
        if owner.living and _living(ledger.get(number)) != _living(owner)
    }
    both = ledger.keys() | owners.keys()
    return living, {one for one in both if _gone(ledger.get(one)) != _gone(owners.get(one))}


def _living(bucket: Bucket | None) -> tuple[int, int]:
    return (bucket.living, bucket.living_hash) if bucket else (0, 0)


def _gone(bucket: Bucket | None) -> tuple[int, int]:
    return (bucket.gone, bucket.gone_hash) if bucket else (0, 0)


def _mask(buckets: Iterable[int]) -> bytes:
    """Set a bit for each bucket, as get_bit counts: from a byte's least significant bit."""
    mask = bytearray(BUCKETS // 8)
    for bucket in buckets:
        mask[bucket // 8] |= 1 << bucket % 8
    return bytes(mask)


async def _digest(database: Database[Any], statement: TextClause) -> Digest:
    return {row.bucket: row for row in await fetch_as(Bucket, database, statement)}


async def _facts(
    shape: type[F], database: Database[Any], statement: TextClause, keys: Sequence[Key]
) -> dict[Key, F]:
    """Read the facts about those of these users of whom there is something to say."""
    arrays = {"tenants": [k.tenant_id for k in keys], "users": [k.user_id for k in keys]}
    rows = await fetch_as(shape, database, statement, arrays)
    return {Key(row.tenant_id, row.user_id): row for row in rows}
