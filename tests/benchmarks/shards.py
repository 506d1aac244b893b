"""Simulates how evenly tenants of very different sizes fill the servers of a cluster.

Citus puts each tenant into the shard that its id's hash says, and deals the shards out to workers;
its rebalancer moves whole shards, from full workers to empty ones, by their size. A tenant is never
divided. The sizes follow Zipf's law: the tenant of rank k has 1 / k ** exponent of the first one's.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Sequence
from statistics import median
from typing import NamedTuple

TENANTS = 100_000
EXPONENTS = (0.6, 0.8, 1.0, 1.2)
SHARDS = (32, 128, 512)
WORKERS = (2, 4, 8, 16, 32, 64)
DRAWS = 25
EVEN_ENOUGH = 1.5  # the fullest worker may hold so much of the mean


class Balance(NamedTuple):
    """The fullest worker's part ÷ the mean: the median of many draws."""

    exponent: float
    shards: int
    workers: int
    fullest: float


def sizes(exponent: float, tenants: int = TENANTS) -> list[float]:
    """Parts of the whole, the largest tenant's first."""
    parts = [1 / rank**exponent for rank in range(1, tenants + 1)]
    whole = sum(parts)
    return [one / whole for one in parts]


def balances() -> list[Balance]:
    """Simulate every case in which each worker has a shard."""
    return [
        one
        for exponent in EXPONENTS
        for shards in SHARDS
        for one in _of_shards(exponent, shards, sizes(exponent))
    ]


def _of_shards(exponent: float, shards: int, parts: Sequence[float]) -> Iterator[Balance]:
    chance = random.Random(1)  # the same each time
    draws = [hashed(parts, shards, chance) for _ in range(DRAWS)]
    for workers in WORKERS:
        if workers <= shards:
            yield Balance(exponent, shards, workers, median(fullest(one, workers) for one in draws))


def hashed(parts: Sequence[float], shards: int, chance: random.Random) -> list[float]:
    """Give each tenant to a shard; returns the shards' sizes."""
    filled = [0.0] * shards
    for shard, part in zip(chance.choices(range(shards), k=len(parts)), parts, strict=True):
        filled[shard] += part
    return filled


def fullest(shards: Sequence[float], workers: int) -> float:
    """Give each shard, the largest first, to the emptiest worker; returns fullest ÷ mean."""
    loads = [0.0] * workers
    for shard in sorted(shards, reverse=True):
        heapq.heapreplace(loads, loads[0] + shard)
    return max(loads) * workers / sum(shards)


def most_workers(found: Sequence[Balance], exponent: float, shards: int) -> int:
    """Say up to how many workers the fullest one is even enough; 1 if no two are."""
    those = (one for one in found if (one.exponent, one.shards) == (exponent, shards))
    return max((one.workers for one in those if one.fullest <= EVEN_ENOUGH), default=1)
