from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.moved import Target, empty_general
from tests.support.servers import Servers


@pytest.fixture
async def target(servers: Servers, database: str) -> AsyncIterator[Target]:
    """Gives another general database, empty, to move to."""
    async with empty_general(servers, database) as target:
        yield target
