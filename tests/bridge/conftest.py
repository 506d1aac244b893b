from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.erasure_scene import Scene, open_scene
from tests.support.servers import Servers


@pytest.fixture
async def scene(servers: Servers, database: str) -> AsyncIterator[Scene]:
    async with open_scene(servers, database) as scene:
        yield scene
