"""Two real PostgreSQL servers for the whole run, a migrated template each, a clone per test.

Nothing is patched: the application under test is `create_app` on the clones' URLs.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import ExitStack
from typing import Any

import asyncpg
import httpx
import pytest
from litestar import Litestar

from app.commands.dev import create_database
from app.commands.embedded.pair import servers as embedded_servers
from app.commands.migrate import upgrade
from app.config.settings import Settings
from app.server import create_app
from tests.support import citus, leaks, pgbouncer, signatures, statements, switches
from tests.support.factories import World
from tests.support.logins import superuser
from tests.support.memory import folder_of_a_run
from tests.support.patience import limited
from tests.support.servers import (
    LENT,
    LOUD,
    TEMPLATE,
    Servers,
    alive,
    borrowed,
    chosen_programs,
    copied,
    settings_for,
)

# Containers often set it. Each process that a test starts would then compile 2,000 files anew, and
# start in four seconds instead of one. xdist's workers inherit this as well.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
signatures.remember()

TEST_SECONDS = 150
SOAK_SECONDS = 3600


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    if LENT:
        yield borrowed(LENT)
        return
    # Not pytest's own folder: a second run of root's would shut the servers' account out of it.
    with (
        ExitStack() as stack,
        folder_of_a_run() as folder,
        embedded_servers(
            folder, durable=False, tcp=True, report=_silent, choose=chosen_programs
        ) as pair,
        pgbouncer.before_each(pair),
    ):
        if citus.IS_WANTED:
            stack.enter_context(citus.with_workers(pair[1]))
        asyncio.run(statements.record(pair[1]))
        yield Servers(*pair)


def _silent(_: str) -> None:
    """Drop what `litestar dev` would print of its preparations."""


@pytest.fixture(scope="session")
async def template(servers: Servers) -> str:
    """Migrated as shipped, once; every test starts from a copy of it."""
    if LENT:
        return TEMPLATE
    for server in (*citus.nodes(servers.general), servers.user):
        await create_database(server, TEMPLATE)
    if citus.IS_WANTED:
        await citus.make_cluster(servers.general, TEMPLATE)
    for name in ("user", "general"):
        upgrade(settings_for(servers, TEMPLATE), name)
    if citus.IS_WANTED:
        await citus.distributed(servers.general, settings_for(servers, TEMPLATE), TEMPLATE)
    return TEMPLATE


@pytest.fixture
async def database(servers: Servers, template: str) -> AsyncIterator[str]:
    """The name of this test's own two databases, one on each server."""
    async with (
        copied(servers, template) as name,
        statements.held_to_one_tenant(servers.general, name),
    ):
        yield name


@pytest.fixture
def settings(servers: Servers, database: str) -> Settings:
    return settings_for(servers, database)


@pytest.fixture
async def general(servers: Servers, database: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """Look into the general database as its superuser, past row level security."""
    async with superuser(servers.general.url(database)) as connection:
        yield connection


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[Litestar]:
    service = create_app(settings)
    async with alive(service):
        yield service


@pytest.fixture
async def client(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    """Nobody: without a token."""
    transport = httpx.ASGITransport(app=app)  # pyright: ignore[reportArgumentType]  # ASGI is ASGI
    async with httpx.AsyncClient(transport=transport, base_url="http://bicameral") as http:
        yield http


@pytest.fixture
async def world(app: Litestar, client: httpx.AsyncClient) -> World:
    """Makes tenants and users, and clients that are logged in as them."""
    return World(app, client)


@pytest.fixture
def capfd(capfd: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    return leaks.overheard(capfd)


@pytest.fixture
def capsys(capsys: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    return leaks.overheard(capsys)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Run three processes on two processors: a fifth of the time, a test waits for something."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return (os.cpu_count() or 1) * 3 // 2


def pytest_collection_finish() -> None:
    gc.freeze()  # a collection need not look at what all tests have imported


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """A test that hangs fails; `faulthandler_timeout` ends the run of one that even so goes on."""
    seconds = SOAK_SECONDS if item.get_closest_marker("soak") else TEST_SECONDS
    with limited(seconds):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None]:
    """A teardown may hang as well, above all where a service waits for a request."""
    with limited(TEST_SECONDS):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Whatever else a test is about, it fails if it wrote a secret into a log."""
    report = yield
    leaks.check(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A test that could not run for want of a tool is the last thing one reads, under -q too.

    Before that stands in which state the services of this run were.
    """
    for state in switches.states():
        terminalreporter.write_sep("=", f"in this run {state}", bold=True)
    for report in terminalreporter.getreports("skipped"):
        if LOUD in report.longreprtext:
            line = f"{report.nodeid} SKIPPED: {report.longreprtext}"
            terminalreporter.write_sep("!", line, red=True, bold=True)
