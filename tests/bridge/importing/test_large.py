"""Half a million messages are imported although the import is killed, and then once more."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import sys
from pathlib import Path
from signal import SIGKILL

import asyncpg
import pytest

from tests.support.commands import python
from tests.support.factories import World
from tests.support.moved import Target
from tests.support.servers import ROOT, Servers, run

pytestmark = pytest.mark.soak
PEOPLE = 50
FILL = """
INSERT INTO chat_sessions (tenant_id, id, user_id, message_count)
SELECT '{tenant}', gen_random_uuid(), '{user}', 200 FROM generate_series(1, 50);
INSERT INTO messages (tenant_id, id, session_id, position, role, content)
SELECT s.tenant_id, gen_random_uuid(), s.id, n, 'user', repeat(md5(s.id::text || n), 6)
FROM chat_sessions s, generate_series(1, 200) AS n WHERE s.user_id = '{user}';
"""
STORED = "SELECT count(*) FROM owners"


async def test_half_a_million_messages_killed_resumed_and_repeated(
    world: World, target: Target, servers: Servers, database: str, tmp_path: Path
) -> None:
    faulthandler.cancel_dump_traceback_later()  # that ends a run after three minutes
    for number in range(PEOPLE):
        user = await world.user(f"\\acme\\u{number}")
        await run(servers.general, FILL.format(tenant=user.tenant_id, user=user.id), database)
    file = tmp_path / "export"
    assert (await target.export(file)).code == 0
    words = (sys.executable, "-m", "litestar", "import", str(file))
    process = await asyncio.create_subprocess_exec(*words, cwd=ROOT, env=os.environ | target.env)
    connection = await asyncpg.connect(servers.general.url(target.name))
    async with asyncio.timeout(120):
        while await connection.fetchval(STORED) < PEOPLE / 4:
            pass
    process.send_signal(SIGKILL)
    await process.wait()
    await connection.close()
    resumed = await python(*words[1:], env=target.env)
    assert (resumed.code, resumed.err) == (0, ""), resumed
    repeated = await python(*words[1:], env=target.env)
    assert f"{PEOPLE} were here already; 0 were refused" in repeated.out
    assert await target.rows("messages") == await target.rows("messages", before=True)
