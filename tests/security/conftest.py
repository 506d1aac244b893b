"""One application and one pair of databases for a whole file: its tests make rows of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from app.server import create_app
from tests.support.callers import Callers
from tests.support.servers import Servers, alive, numbers, run, settings_for


@pytest.fixture(scope="module")
async def shared(servers: Servers, template: str) -> AsyncIterator[str]:
    """The name of the file's two databases."""
    name = f"test_{next(numbers)}"
    for server in servers:
        await run(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield name
    for server in servers:
        await run(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
async def callers(servers: Servers, shared: str) -> AsyncIterator[Callers]:
    service = create_app(settings_for(servers, shared, login_free_attempts=10_000))
    user = await asyncpg.connect(servers.user.url(shared))
    general = await asyncpg.connect(servers.general.url(shared))
    async with alive(service):
        yield Callers(service, user, general)
    await user.close()
    await general.close()
