"""One application and one pair of databases for a whole file: its tests make rows of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from app.server import create_app
from tests.support.callers import Callers
from tests.support.servers import Servers, alive, copied, settings_for


@pytest.fixture(scope="module")
async def shared(servers: Servers, template: str) -> AsyncIterator[str]:
    """Give the name of the file's two databases. Some of its requests are hostile on purpose."""
    async with copied(servers, template) as name:
        yield name


@pytest.fixture(scope="module")
async def callers(servers: Servers, shared: str) -> AsyncIterator[Callers]:
    service = create_app(
        settings_for(servers, shared, login_free_attempts=10_000, request_exports=1000)
    )
    user = await asyncpg.connect(servers.user.url(shared))
    general = await asyncpg.connect(servers.general.url(shared))
    async with alive(service):
        yield Callers(service, user, general)
    await user.close()
    await general.close()
