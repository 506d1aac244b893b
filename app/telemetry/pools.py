"""Every second, and at each scrape, this looks at what the pools hold and who waits for them.

Not counted at each checkout: two gauges a checkout would cost more than the log line.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from app.telemetry.metrics import IN_FLIGHT, LOOP_LAG, POOL, WAITING
from app.telemetry.requests import requests_in_flight

SAMPLE_SECONDS = 1.0
_usages: dict[tuple[str, str], Callable[[], Usage]] = {}


class Usage(NamedTuple):
    """Counts a pool's connections, and those who wait for one."""

    in_use: int
    idle: int
    waiting: int

    def __add__(self, other: tuple[Any, ...]) -> Usage:  # a sum, not a longer tuple
        return Usage(*map(sum, zip(self, other, strict=True)))


@asynccontextmanager
async def watching(owner: str, usages: Mapping[str, Callable[[], Usage]]) -> AsyncGenerator[None]:
    """Show these pools, by database, as the owner's, while the block lasts."""
    ours = {(owner, database): usage for database, usage in usages.items()}
    _usages.update(ours)
    task = asyncio.create_task(_every_second(), name=f"pools of {owner}")
    try:
        yield
    finally:
        task.cancel()
        for key in ours:
            _usages.pop(key, None)


async def _every_second() -> None:
    loop = asyncio.get_running_loop()
    while True:
        sample()
        due = loop.time() + SAMPLE_SECONDS
        await asyncio.sleep(SAMPLE_SECONDS)
        LOOP_LAG.set(max(0, loop.time() - due))


def sample() -> None:
    IN_FLIGHT.set(requests_in_flight())
    for (owner, database), look in _usages.items():
        usage = look()
        POOL.labels(owner, database, "in_use").set(usage.in_use)
        POOL.labels(owner, database, "idle").set(usage.idle)
        WAITING.labels(owner, database).set(usage.waiting)
