"""Prometheus is shown the right figures, in bounded series, where the operator wants them."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.commands.embedded.host import free_port
from app.server import create_app
from tests.support.callers import client_of
from tests.support.commands import litestar, urls
from tests.support.factories import World, a_session
from tests.support.metrics import ID, Sample, exercise, scrape, value
from tests.support.outages import frozen
from tests.support.servers import ROOT, Servers, alive, run, settings_for
from tests.support.service import environment
from tests.support.wire import bounded


async def test_no_label_holds_an_id(world: World) -> None:
    await exercise(world)
    samples = await scrape(world.nobody)
    labels = {text for one in samples for name, text in one.labels.items() if name != "le"}
    assert not [text for text in labels if ID.search(text)]
    # The process's own; test_rls.py may have run its hostile handlers in it before.
    routes = {route.path_format for route in world.app.routes} | {
        "/hostile/user",
        "/hostile/general",
    }
    assert {one.labels["route"] for one in samples if "route" in one.labels} <= routes | {""}


async def test_unknown_paths_and_methods_are_one_series(world: World) -> None:
    name = "bicameral_request_duration_seconds_count"
    await world.nobody.request("BREW", f"/{uuid4()}")
    before = await scrape(world.nobody)
    for method in ("BREW", "WHEN"):
        await world.nobody.request(method, f"/{uuid4()}")
    after = await scrape(world.nobody)
    unknown = {"route": "", "method": "other", "status": "404"}
    assert value(after, name, **unknown) - value(before, name, **unknown) == 2
    assert {str(one.labels) for one in after if one.name == name} - {
        str(one.labels) for one in before if one.name == name
    } <= {str({"method": "GET", "route": "/metrics", "status": "200"})}


async def test_statements_and_refusals_are_counted(world: World) -> None:
    alice = await world.member()
    before = await scrape(world.nobody)
    await alice.http.get("/v1/chat-sessions")
    login = {"username": alice.username, "password": "not the password at all"}
    await world.nobody.post("/v1/auth/login", json=login)
    after = await scrape(world.nobody)
    for database in ("user", "general"):
        name = "bicameral_statement_duration_seconds_count"
        assert value(after, name, database=database) > value(before, name, database=database)
    refused, why = "bicameral_login_refusals_total", {"reason": "credentials"}
    assert value(after, refused, **why) - value(before, refused, **why) == 1
    assert value(after, refused) - value(before, refused) == 1


@bounded
async def test_metrics_are_served_while_the_user_database_is_silent(
    servers: Servers, database: str
) -> None:
    far = {"db_statement_timeout_seconds": 600, "db_silence_seconds": 600}
    async with _service(servers, database, **far, health_timeout_seconds=0.3) as http:
        async with frozen(servers.user, database):
            samples = await scrape(http)
        assert math.isnan(value(samples, "bicameral_erasure_pending"))
        assert value(await scrape(http), "bicameral_erasure_pending") == 0


async def test_operators_can_turn_metrics_off(servers: Servers, database: str) -> None:
    async with _service(servers, database, metrics=False) as http:
        assert (await http.get("/metrics")).status_code == 404
        assert (await http.get("/health/live")).status_code == 200


async def test_metrics_can_have_a_port_of_their_own(servers: Servers, database: str) -> None:
    """The public port then has none of it, and theirs has nothing else."""
    port = free_port()
    async with _service(servers, database, metrics_port=port) as http, httpx.AsyncClient() as other:
        async with asyncio.timeout(30):
            assert await scrape(other, f"http://127.0.0.1:{port}/metrics")
        assert (await other.get(f"http://127.0.0.1:{port}/v1/me")).status_code == 404
        assert (await http.get("/metrics")).status_code == 404
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_metrics_can_have_an_address_of_their_own(servers: Servers, database: str) -> None:
    port, host = free_port(), "127.0.0.2"
    own = {"metrics_port": port, "metrics_host": host}
    async with _service(servers, database, **own), httpx.AsyncClient() as other:
        async with asyncio.timeout(30):
            assert await scrape(other, f"http://{host}:{port}/metrics")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_a_metrics_port_that_is_taken_stops_the_start(
    servers: Servers, database: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        own = urls(servers, database) | {"METRICS_PORT": str(taken.getsockname()[1])}
        refused = await litestar("run", "--port", "0", env=own)
    assert refused.code == 1
    assert "METRICS_PORT: cannot listen on" in refused.line


async def test_metrics_that_are_off_take_no_port(servers: Servers, database: str) -> None:
    port = free_port()
    async with _service(servers, database, metrics=False, metrics_port=port):
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


@asynccontextmanager
async def _service(
    servers: Servers, database: str, **more: object
) -> AsyncGenerator[httpx.AsyncClient]:
    service = create_app(settings_for(servers, database, **more))
    async with alive(service), client_of(service, None) as http:
        yield http


WORKER = """
from app.telemetry import metrics
metrics.POOL.labels("service", "user", "in_use").set(3)
metrics.LOGIN_REFUSALS.labels("credentials").inc()
print(metrics.render().decode())
"""


def test_a_dead_worker_holds_no_connections(tmp_path: Path) -> None:
    """Its counters stay: one that falls would look like a restart of all."""
    shown = [_worker(tmp_path / "new") for _ in range(2)]
    assert [value(one, "bicameral_pool_connections", state="in_use") for one in shown] == [3, 3]
    assert [value(one, "bicameral_login_refusals_total") for one in shown] == [1, 2]


def _worker(folder: Path) -> list[Sample]:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    command = [sys.executable, "-c", WORKER]
    out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    families = text_string_to_metric_families(out.stdout)
    return [Sample(s.name, s.labels, s.value) for family in families for s in family.samples]


# Past the triggers, as a restore does it: nobody knows these users any more.
LOST = "SET session_replication_role = replica; DELETE FROM subject_ledger"


async def test_a_relay_alone_serves_metrics(servers: Servers, database: str, world: World) -> None:
    """They include what it finds when it compares the databases by its schedule."""
    await a_session(await world.member())
    await run(servers.user, LOST, database)
    port = free_port()
    more = {"METRICS_PORT": str(port), "RELAY_RECONCILE_SECONDS": "0.05"}
    environ = environment(settings_for(servers, database)) | more
    command = (sys.executable, "-m", "litestar", "relay")
    async with asyncio.timeout(100):
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environ, stdout=-1)
        try:
            assert process.stdout
            assert await process.stdout.readline() == b"The relay is running.\n"
            async with httpx.AsyncClient() as http:
                samples: list[Sample] = []
                while not value(samples, "bicameral_reconcile_differences"):
                    samples = await scrape(http, f"http://127.0.0.1:{port}/metrics")
        finally:
            process.terminate()
            ended = await process.wait()
    assert ended == 0
    assert "relay" in {one.labels.get("pool") for one in samples}
    names = {one.name for one in samples}
    assert "bicameral_erasure_pending" in names
