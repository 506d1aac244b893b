from __future__ import annotations

import pytest

from app.config.settings import Settings
from tests.support.servers import Servers, settings_for


@pytest.fixture
def settings(servers: Servers, database: str) -> Settings:
    """The service of these tests seals nothing by itself, whatever the rest of the run does."""
    return settings_for(servers, database, seal_keys=None)
