"""Health tells of each server that is stopped, frozen or restarted; the rest goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from alembic.script import ScriptDirectory

from app.commands.embedded.cluster import Server
from app.commands.migrate import alembic_config, head
from app.config.settings import Settings
from app.databases.backends import asking
from app.databases.connection import DATABASES, DatabaseName
from app.databases.database import Databases
from app.operations.health import before_head, followed, looking
from app.operations.metrics import figures
from tests.support.factories import Someone, World, a_session
from tests.support.health import fresh
from tests.support.outages import frozen, stopped
from tests.support.servers import Servers, run

Away = Callable[[Server, str], AbstractAsyncContextManager[None]]
Name = Literal["user", "general"]


async def test_healthy_and_ready(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health/live")).json() == {"status": "alive"}
    health = (await fresh(client, "/health")).json()
    assert health.pop("timestamp").endswith("Z")
    both = {"user": "connected", "general": "connected"}
    assert health == {"status": "healthy", "database": "connected", "databases": both}
    ready = await fresh(client, "/health/ready")
    assert ready.status_code == 200
    assert ready.json()["migrations"] == {"user": "at head", "general": "at head"}


@pytest.mark.parametrize("how", [stopped, frozen])
@pytest.mark.parametrize("name", ["user", "general"])
async def test_a_database_away_is_told_in_two_seconds(
    client: httpx.AsyncClient, servers: Servers, database: str, name: Name, how: Away
) -> None:
    other = "general" if name == "user" else "user"
    async with how(getattr(servers, name), database):
        for path in ("/health", "/health/ready"):
            _, seconds = await _timed(client, path)
            assert seconds < 2
            response = await fresh(client, path)
            assert response.status_code == 503
            assert int(response.headers["retry-after"]) > 0
            health = response.json()
            assert (health["status"], health["database"]) == ("unhealthy", "disconnected")
            assert health["databases"] == {name: "disconnected", other: "connected"}
            assert name in health["error"]
        assert health["migrations"] == {name: "unknown", other: "at head"}
        assert (await client.get("/health/live")).status_code == 200
    assert (await fresh(client, "/health")).status_code == 200
    assert (await fresh(client, "/health/ready")).status_code == 200


async def test_both_databases_away_are_told_in_two_seconds(
    client: httpx.AsyncClient, servers: Servers, database: str
) -> None:
    """The two are asked at the same time."""
    async with frozen(servers.user, database), frozen(servers.general, database):
        _, seconds = await _timed(client, "/health")
        response = await fresh(client, "/health")
    assert seconds < 2
    assert response.json()["databases"] == {"user": "disconnected", "general": "disconnected"}


@pytest.mark.parametrize("what", ["health", "metrics", "question"])
async def test_a_silent_database_is_asked_for_as_long_as_the_setting_says(
    settings: Settings, servers: Servers, database: str, what: str
) -> None:
    hasty = settings.model_copy(update={"health_timeout_seconds": 0.1})
    databases = Databases.create(hasty)
    asked: dict[str, Callable[[], Awaitable[object]]] = {
        "health": looking(hasty, databases).get,
        "metrics": figures(hasty, databases).get,
        "question": lambda: asking(hasty, "user")(lambda _: []),
    }
    async with frozen(servers.user, database):
        began = time.monotonic()
        with pytest.raises(TimeoutError) if what == "question" else nullcontext():
            await asked[what]()
        assert time.monotonic() - began < 1.4  # less than the default
    await databases.dispose()


async def test_a_database_never_migrated_is_not_ready(
    client: httpx.AsyncClient, servers: Servers, database: str
) -> None:
    for statement in ("DELETE FROM alembic_version", "DROP TABLE alembic_version"):
        await run(servers.general, statement, database)
        response = await fresh(client, "/health/ready")
        assert response.status_code == 503
        assert response.json()["migrations"] == {"user": "at head", "general": "behind"}
        assert (await fresh(client, "/health")).status_code == 200


@pytest.mark.parametrize("name", DATABASES)
async def test_an_older_schema_is_not_ready(
    client: httpx.AsyncClient, servers: Servers, database: str, name: DatabaseName
) -> None:
    server = servers.user if name == "user" else servers.general
    at_head = {"user": "at head", "general": "at head"}
    statement = "UPDATE alembic_version SET version_num = '{}'"
    await run(server, statement.format(f"{name[0]}0001"), database)
    response = await fresh(client, "/health/ready")
    assert response.status_code == 503
    assert response.json()["migrations"] == at_head | {name: "behind"}
    assert int(response.headers["retry-after"]) > 0
    await run(server, statement.format("from_the_future"), database)
    response = await fresh(client, "/health/ready")
    assert (response.status_code, response.json()["migrations"]) == (200, at_head)


def test_the_newest_revision_is_the_one_that_none_follows(tmp_path: Path) -> None:
    """File names would tell another: several revisions of one day, random ids, a merge."""
    lines = {
        "20261122_f00d_first": "down_revision = None  # 'none'",
        "20261126_9c1a_second": "down_revision: str | None = 'f00d'",
        "20261126_1b7e_third": 'down_revision = "f00d"',
        "20261126_0a2b_newest": 'down_revision = (\n    "9c1a",\n    "1b7e",\n)\nother = "x"',
    }
    for name, line in lines.items():
        (tmp_path / f"{name}.py").write_text(f"revision = {name.split('_')[1]!r}\n{line}\n")
    assert followed(tmp_path) == {"f00d", "9c1a", "1b7e"}


@pytest.mark.parametrize("name", DATABASES)
def test_readiness_tells_the_revisions_as_alembic_does(name: DatabaseName) -> None:
    revisions = ScriptDirectory.from_config(alembic_config(name)).walk_revisions()
    assert before_head(name) == {"", *(one.revision for one in revisions)} - {head(name)}


async def test_without_the_general_database_accounts_go_on(
    world: World, servers: Servers, database: str
) -> None:
    alice, boss = await world.member(), await world.tenant_admin()
    session = await a_session(alice)
    async with stopped(servers.general, database):
        assert (await alice.http.get("/v1/me")).status_code == 200
        assert (await boss.http.get("/v1/users")).status_code == 200
        await world.log_in(alice.username)
        assert (await alice.http.get("/v1/me/export")).status_code == 503
        away = await alice.http.get(f"/v1/chat-sessions/{session['id']}")
        assert away.status_code == 503
        assert int(away.headers["retry-after"]) >= 1
        assert away.headers["content-type"] == "application/problem+json"
    assert (await alice.http.get(f"/v1/chat-sessions/{session['id']}")).status_code == 200


async def test_after_a_restart_no_request_meets_a_stale_connection(
    world: World, servers: Servers, database: str
) -> None:
    alice = await world.member()
    assert set(await _volley(alice)) == {200}  # fills both pools
    for server in servers:
        async with stopped(server, database):
            pass
    assert set(await _volley(alice)) == {200}


async def _volley(someone: Someone) -> list[int]:
    answers = await asyncio.gather(*(someone.http.get("/v1/chat-sessions") for _ in range(30)))
    return [answer.status_code for answer in answers]


async def _timed(client: httpx.AsyncClient, path: str) -> tuple[httpx.Response, float]:
    started = time.perf_counter()
    response: Any = await client.get(path)
    return response, time.perf_counter() - started


async def test_a_crowd_is_answered_by_one_look_and_one_set_of_figures(
    client: httpx.AsyncClient, servers: Servers, database: str
) -> None:
    """Each look opens a connection to either database, and figures take their time to be made."""
    before = await fresh(client, "/health")
    paths = ["/health", "/health/ready"] * 20
    answers = await asyncio.gather(*(client.get(path) for path in paths))
    assert {one.status_code for one in answers} == {200}
    assert len({one.json()["timestamp"] for one in answers} | {before.json()["timestamp"]}) <= 2
    figures = await asyncio.gather(*(client.get("/metrics") for _ in range(20)))
    assert len({one.content for one in figures}) == 1
