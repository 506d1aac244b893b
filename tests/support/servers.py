"""The test run's two PostgreSQL servers, and an application that is alive on them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import NamedTuple

import asyncpg
from litestar import Litestar

from app.commands.embedded.cluster import Server
from app.commands.embedded.host import Programs, programs_for
from app.config.settings import Settings
from tests.support import citus, pgbouncer, sealing

ROOT = Path(__file__).parents[2]
TEMPLATE = "template_bicameral"
LOUD = "UNTESTED"
# Files are copied in a third of the processor time that it takes to log each of their blocks.
CLONE = "CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY"
numbers = count(1)


# Another PostgreSQL than the wheel's for the run's two servers. PostgreSQL 15 and 16 have no locale
# provider "builtin".
PROGRAMS = os.environ.get("BICAMERAL_TESTS_POSTGRES_BIN")
PLAIN_LOCALE = ("--encoding=UTF8", "--locale=C.UTF-8")


class Servers(NamedTuple):
    user: Server
    general: Server


# Another run's servers, with their template: for runs that are a part of it.
LENT = os.environ.get("BICAMERAL_TESTS_SERVERS")


def lend(servers: Servers) -> str:
    return json.dumps([[str(s.data_dir), str(s.socket_dir), s.port] for s in servers])


def borrowed(lent: str) -> Servers:
    programs = chosen_programs(Path(json.loads(lent)[0][0]).parent, lambda _: None)
    pair: list[Server] = []
    for data_dir, socket_dir, port in json.loads(lent):
        pair.append(Server(Path(data_dir), Path(socket_dir), programs, durable=False, tcp=True))
        pair[-1].port = port
    return Servers(*pair)


def chosen_programs(data_dir: Path, report: Callable[[str], None]) -> Programs:
    programs = programs_for(data_dir, report)
    if PROGRAMS is None:
        return programs
    return replace(programs, folder=Path(PROGRAMS), locale=PLAIN_LOCALE)


def settings_for(servers: Servers, database: str, **more: object) -> Settings:
    """Set the URLs as an operator would: the service's login, and the owner's for migrations."""
    return Settings.model_validate(
        {
            "database_url_user": pgbouncer.url(servers.user, database),
            "database_url_user_owner": servers.user.url(database, "bicameral_owner"),
            "database_url_general": pgbouncer.url(servers.general, database),
            "database_url_general_owner": servers.general.url(database, "bicameral_owner"),
            "relay": False,  # tests of the relay say when it acts
            **pgbouncer.SETTINGS,
            **sealing.SETTINGS,
            **more,
        }
    )


@asynccontextmanager
async def alive(service: Litestar) -> AsyncGenerator[None]:
    """Its lifespan, in a task of its own: a fixture's two halves run in two different ones."""
    started, ended = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with service.lifespan():
            started.set()
            await ended.wait()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(live())
        await started.wait()
        try:
            yield
        finally:
            ended.set()


@asynccontextmanager
async def copied(servers: Servers, template: str) -> AsyncGenerator[str]:
    """Give the name of two databases, one on each server, copies of this one."""
    name = f"test_{next(numbers)}"
    async with copied_to(servers, template, name):
        yield name


@asynccontextmanager
async def copied_to(servers: Sequence[Server], template: str, name: str) -> AsyncGenerator[None]:
    """Copy the database of each of these servers, and drop the copies afterwards.

    The last server is the general one.
    """
    await on_all(servers, CLONE.format(name, template))
    if citus.IS_WANTED:
        await citus.settle(servers[-1], name)
    try:
        yield
    finally:
        await on_all(servers, f"DROP DATABASE {name} WITH (FORCE)")


async def on_all(servers: Sequence[Server], statement: str) -> None:
    """On the workers of Citus, too, where they are the tests'."""
    nodes = [node for server in servers for node in citus.nodes(server)]
    await asyncio.gather(*(run(node, statement) for node in nodes))


async def run(server: Server, statement: str, database: str = "postgres") -> None:
    connection = await asyncpg.connect(server.url(database))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
