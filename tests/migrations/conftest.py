"""Two databases before their first migration, and Alembic on them as a program would run it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Protocol

import asyncpg
import pytest
from alembic.config import Config

from app.commands.dev import create_database
from app.commands.migrate import alembic_config
from app.config.settings import Settings
from app.databases.connection import DATABASES, DatabaseName
from tests.support.servers import Servers, numbers, run, settings_for

Rows = set[tuple[Any, ...]]


class Query(Protocol):
    def __call__(self, statement: str, *values: object) -> Rows: ...


@pytest.fixture
def empty(servers: Servers) -> Iterator[Settings]:
    name = f"empty_{next(numbers)}"
    for server in servers:
        asyncio.run(create_database(server, name))
    yield settings_for(servers, name)
    for server in servers:
        asyncio.run(run(server, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(params=DATABASES)
def name(request: pytest.FixtureRequest) -> DatabaseName:
    return request.param


@pytest.fixture
def config(empty: Settings, name: DatabaseName) -> Config:
    return configured(empty, name)


@pytest.fixture
def query(empty: Settings, name: DatabaseName) -> Query:
    """One statement as the owner."""

    def ask(statement: str, *values: object) -> Rows:
        return asyncio.run(fetch(empty, name, statement, *values))

    return ask


def configured(settings: Settings, name: DatabaseName) -> Config:
    config = alembic_config(name)
    config.attributes["settings"] = settings
    return config


async def fetch(settings: Settings, name: DatabaseName, statement: str, *values: object) -> Rows:
    connection = await asyncpg.connect(settings.url(name, owner=True).dsn)
    try:
        return {tuple(row) for row in await connection.fetch(statement, *values)}
    finally:
        await connection.close()


async def execute(settings: Settings, name: DatabaseName, script: str) -> None:
    connection = await asyncpg.connect(settings.url(name, owner=True).dsn)
    try:
        await connection.execute(script)
    finally:
        await connection.close()


def environment(settings: Settings) -> dict[str, str]:
    """The databases of these settings, as a shell would export them."""
    variables: dict[str, str] = {}
    for name in DATABASES:
        variables[f"DATABASE_URL_{name.upper()}"] = settings.url(name).dsn
        variables[f"DATABASE_URL_{name.upper()}_OWNER"] = settings.url(name, owner=True).dsn
    return variables
