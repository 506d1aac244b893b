"""Prometheus is shown what the pools hold, and who waits for them."""

from __future__ import annotations

import asyncio
import time

import httpx
from prometheus_client.parser import text_string_to_metric_families

from app.databases.database import Database
from app.databases.sessions import GeneralSession
from app.server import create_app
from app.telemetry.metrics import render
from app.telemetry.pools import SAMPLE_SECONDS, Usage, sample, watching
from tests.support.callers import client_of
from tests.support.metrics import Sample, scrape, value
from tests.support.servers import Servers, alive, settings_for
from tests.support.wire import bounded

LATE_SECONDS = 0.2


async def test_a_pool_shows_what_it_holds_and_who_waits(servers: Servers, database: str) -> None:
    settings = settings_for(servers, database, db_pool_size=1, db_max_overflow=0)
    service = create_app(settings)
    general: Database[GeneralSession] = service.state.databases.general
    pool = general.pool
    async with alive(service), client_of(service, None) as http:
        assert await _pool(http) == (0, 1, 0)
        first = await pool.take()
        waiting = asyncio.create_task(pool.take())
        async with asyncio.timeout(30):
            while not pool.usage().waiting:  # noqa: ASYNC110  it has no event for it
                await asyncio.sleep(0)
        assert await _pool(http) == (1, 0, 1)
        pool.give_back(first)
        async with asyncio.timeout(30):
            pool.give_back(await waiting)
        assert await _pool(http) == (0, 1, 0)


async def _pool(http: httpx.AsyncClient) -> tuple[float, float, float]:
    samples, which = await scrape(http), {"pool": "service", "database": "general"}
    held = [
        value(samples, "bicameral_pool_connections", state=state, **which)
        for state in ("in_use", "idle")
    ]
    return held[0], held[1], value(samples, "bicameral_pool_waiting", **which)


@bounded
async def test_pools_are_sampled_without_a_scrape() -> None:
    """One of several workers is asked, and answers for all."""
    looks, again = 0, asyncio.Event()

    def usage() -> Usage:
        nonlocal looks
        looks += 1
        if looks > 1:
            again.set()
        return Usage(looks, 0, 0)

    async with watching("nobody", {"user": usage}):
        await asyncio.sleep(0)
        time.sleep(SAMPLE_SECONDS + LATE_SECONDS)  # noqa: ASYNC251  the loop can do nothing meanwhile
        await again.wait()
    families = text_string_to_metric_families(render().decode())
    shown = [Sample(s.name, s.labels, s.value) for family in families for s in family.samples]
    assert value(shown, "bicameral_pool_connections", pool="nobody", state="in_use") == looks
    assert value(shown, "bicameral_event_loop_lag_seconds") >= LATE_SECONDS / 2
    before = looks
    sample()
    assert looks == before, "they are no more"
