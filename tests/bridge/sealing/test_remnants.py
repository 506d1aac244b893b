"""Files keep what was plain before a conversion, until the statements of the page are run."""

from __future__ import annotations

import re
from datetime import timedelta

import asyncpg
import pytest

from app.bridge.sealing.conversion import Conversion
from app.config.settings import Settings
from tests.support.drills import files_with, say
from tests.support.factories import World
from tests.support.sealed import MARK
from tests.support.sealing import keys_on
from tests.support.servers import ROOT, Servers

PAGE = (ROOT / "app" / "bridge" / "sealing" / "README.md").read_text()
FOLDER = "SELECT oid::text FROM pg_database WHERE datname = current_database()"


@pytest.mark.slow  # a checkpoint of the whole server, and catalogs rewritten
async def test_the_page_removes_what_is_left_in_the_files(
    world: World, settings: Settings, servers: Servers, database: str
) -> None:
    alice = await world.member()
    await say(alice, MARK)
    [statements] = re.findall(r"(?ms)^<!-- drill: rewrite -->\n```sql\n(.*?)^```$", PAGE)
    general = await asyncpg.connect(servers.general.url(database))
    try:
        await general.execute("ANALYZE")
        folder = servers.general.data_dir / "base" / await general.fetchval(FOLDER)
        conversion = Conversion(
            keys_on(world.databases, settings, "a"), world.databases, print, settling=timedelta()
        )
        assert await conversion.seal(lambda: None) == []
        await general.execute("CHECKPOINT")
        assert files_with([MARK], folder)
        for statement in statements.strip().splitlines():
            await general.execute(statement)
        await general.execute("CHECKPOINT")
        assert files_with([MARK], folder) == []
    finally:
        await general.close()
