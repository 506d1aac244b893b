"""Two databases before their first migration, and Alembic on them as a program would run it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from alembic.config import Config

from app.commands.dev import create_database
from app.config.settings import Settings
from app.databases.connection import DATABASES, DatabaseName
from tests.support.migrations import Query, Rows, configured, fetch
from tests.support.servers import Servers, numbers, run, settings_for


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
