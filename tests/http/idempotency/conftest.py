"""One application and one pair of databases for a whole file: its tests make rows of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from litestar import Litestar

from app.config.settings import Settings
from app.server import create_app
from tests.support.callers import client_of
from tests.support.factories import World
from tests.support.idempotency import Rows, open_rows
from tests.support.servers import Servers, alive, copied, settings_for
from tests.support.statements import held_to_one_tenant


@pytest.fixture(scope="module")
async def database(servers: Servers, template: str) -> AsyncIterator[str]:
    async with copied(servers, template) as name, held_to_one_tenant(servers.general, name):
        yield name


@pytest.fixture(scope="module")
def settings(servers: Servers, database: str) -> Settings:
    return settings_for(servers, database)


@pytest.fixture(scope="module")
async def app(settings: Settings) -> AsyncIterator[Litestar]:
    service = create_app(settings)
    async with alive(service):
        yield service


@pytest.fixture(scope="module")
async def client(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app, None) as http:
        yield http


@pytest.fixture(scope="module")
async def world(app: Litestar, client: httpx.AsyncClient) -> World:
    return World(app, client)


@pytest.fixture(scope="module")
async def rows(servers: Servers, database: str) -> AsyncIterator[Rows]:
    async with open_rows(servers, database) as rows:
        yield rows
