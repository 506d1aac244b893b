"""The worker of Citus that has a tenant's rows, computed as Citus does: no round trip to ask.

A shard has the tenants whose ids have a hash within its bounds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from struct import unpack
from uuid import UUID

import asyncpg

SHARDS = """
SELECT s.shardminvalue::int, p.groupid FROM pg_dist_shard s JOIN pg_dist_placement p USING (shardid)
WHERE s.logicalrelid = to_regclass('public.owners') ORDER BY 1
"""
WORD = 0xFFFFFFFF
KNOWN_TENANTS = 10_000


class Shards:
    """The bounds and workers of all shards, as they were when they were read.

    Of a shard that was moved since, the tenants count as their old worker's.
    """

    def __init__(self, shards: Sequence[tuple[int, int]]) -> None:
        self._least = [least for least, _ in shards]
        self._workers = [worker for _, worker in shards]
        self._has_choice = len({*self._workers}) > 1

    @classmethod
    async def read(cls, connection: asyncpg.Connection) -> Shards:
        return cls([tuple(row) for row in await connection.fetch(SHARDS)])

    def worker_of(self, tenant_id: UUID) -> int | None:
        """Return the worker's number; None where only one has rows, and nothing is to be shared."""
        if not self._has_choice:
            return None
        return self._workers[bisect_right(self._least, uuid_hash(tenant_id)) - 1]


@lru_cache(KNOWN_TENANTS)
def uuid_hash(value: UUID) -> int:
    """Hash it as PostgreSQL's function of that name does: Bob Jenkins's lookup3 of 16 bytes."""
    first, second, third, last = unpack("<4I", value.bytes)
    start = (0x9E3779B9 + 16 + 3923095) & WORD
    a, b, c = _mix(start + first & WORD, start + second & WORD, start + third & WORD)
    number = _final(a + last & WORD, b, c)
    return number - (WORD + 1) if number > WORD // 2 else number


def _rotated(word: int, bits: int) -> int:
    return (word << bits | word >> 32 - bits) & WORD


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for bits in (4, 6, 8, 16, 19, 4):
        a, c = a - c & WORD ^ _rotated(c, bits), c + b & WORD
        a, b, c = b, c, a
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    for bits in (14, 11, 25, 16, 4, 14, 24):
        c = (c ^ b) - _rotated(b, bits) & WORD
        a, b, c = b, c, a
    return b
