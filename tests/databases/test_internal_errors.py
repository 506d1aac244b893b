"""An error of the server's own in one session leaves the sessions beside it as they are."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.config.settings import Settings
from app.databases.database import Databases

# As when a worker of Citus dies in a COMMIT.
FAILS = text("DO $$ BEGIN RAISE EXCEPTION 'it broke' USING ERRCODE = 'XX000'; END $$")


async def test_a_session_under_way_goes_on_after_anothers_error(settings: Settings) -> None:
    """The dialect tells each of its connections to forget what it knows of the schema."""
    databases = Databases.create(settings)
    async with databases.general.session() as other:
        assert await other.scalar(text("SELECT 1")) == 1
        with pytest.raises(DBAPIError):
            async with databases.general.session() as one:
                await one.execute(FAILS)
        assert await other.scalar(text("SELECT 2")) == 2
    await databases.dispose()
