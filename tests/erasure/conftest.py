from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.conftest import Servers
from tests.erasure.scenes import Scene, open_scene


@pytest.fixture
async def scene(servers: Servers, database: str) -> AsyncIterator[Scene]:
    async with open_scene(servers, database) as scene:
        yield scene
