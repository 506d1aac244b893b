"""What the pools hold and who waits for them, looked at every second and at each scrape.

Not counted at each checkout: two gauges a checkout would cost more than the log line.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import cast

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import AsyncAdaptedQueuePool, PoolProxiedConnection

from app.telemetry.metrics import IN_FLIGHT, LOOP_LAG, POOL, WAITING
from app.telemetry.requests import requests_in_flight

SAMPLE_SECONDS = 1.0
_engines: dict[tuple[str, str], AsyncEngine] = {}


class WatchedPool(AsyncAdaptedQueuePool):
    """SQLAlchemy's, which does not tell how many wait."""

    waiting = 0

    def connect(self) -> PoolProxiedConnection:
        self.waiting += 1
        try:
            return super().connect()
        finally:
            self.waiting -= 1


@asynccontextmanager
async def watching(owner: str, engines: Mapping[str, AsyncEngine]) -> AsyncGenerator[None]:
    """Shows these pools, by database, as the owner's for as long as it lasts."""
    ours = {(owner, database): engine for database, engine in engines.items()}
    _engines.update(ours)
    task = asyncio.create_task(_every_second(), name=f"pools of {owner}")
    try:
        yield
    finally:
        task.cancel()
        for key in ours:
            _engines.pop(key, None)


async def _every_second() -> None:
    loop = asyncio.get_running_loop()
    while True:
        sample()
        due = loop.time() + SAMPLE_SECONDS
        await asyncio.sleep(SAMPLE_SECONDS)
        LOOP_LAG.set(max(0, loop.time() - due))


def sample() -> None:
    IN_FLIGHT.set(requests_in_flight())
    for (owner, database), engine in _engines.items():
        pool = cast("WatchedPool", engine.pool)  # an engine replaces its pool when it is disposed
        POOL.labels(owner, database, "in_use").set(pool.checkedout())
        POOL.labels(owner, database, "idle").set(pool.checkedin())
        WAITING.labels(owner, database).set(pool.waiting)
