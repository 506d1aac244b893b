"""`litestar keys seal` is ended in the middle of its work, and goes on when it is run again."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import timedelta
from signal import SIGINT, SIGKILL, Signals

import pytest

from app.config.settings import Settings
from tests.support.commands import python, urls
from tests.support.factories import Someone, World
from tests.support.logins import superuser
from tests.support.sealed import there, with_a_key
from tests.support.sealing import keys_on, master_keys
from tests.support.servers import ROOT, Servers

pytestmark = pytest.mark.slow
FILL = """
WITH made AS (
    INSERT INTO chat_sessions (tenant_id, id, user_id, title, message_count)
    SELECT $1, gen_random_uuid(), $2, 'A title', 10 FROM generate_series(1, 200)
    RETURNING tenant_id, id
)
INSERT INTO messages (tenant_id, id, session_id, position, role, content)
SELECT m.tenant_id, gen_random_uuid(), m.id, n, 'user', 'Said ' || n
FROM made m, generate_series(1, 10) AS n
"""
SEALED = "SELECT count(*) FROM messages WHERE sealed IS NOT NULL"
PLAIN = "SELECT count(*) FROM messages WHERE sealed IS NULL OR content <> ''"
TOLD = "bicameral: interrupted; what is done stays so, and the same command goes on from there\n"
WORDS = ("-m", "litestar", "keys", "seal")


async def words_of(someone: Someone) -> set[str]:
    lines = (await someone.http.get("/v1/me/export")).text.splitlines()
    return {line for line in lines if '"chat_session"' in line or '"message"' in line}


@pytest.mark.parametrize(
    ("signal", "code", "words"), [(SIGKILL, -SIGKILL, ""), (SIGINT, 130, TOLD)]
)
async def test_a_conversion_that_was_ended_goes_on(
    world: World,
    settings: Settings,
    servers: Servers,
    database: str,
    signal: Signals,
    code: int,
    words: str,
) -> None:
    people = [await world.member() for _ in range(3)]
    keys = keys_on(world.databases, settings, "a")
    async with superuser(servers.general.url(database)) as general:
        for one in people:
            assert (await one.http.post("/v1/chat-sessions", json={})).is_success
            await general.execute(FILL, one.tenant_id, one.id)
        before = [await words_of(one) for one in people]
        await keys.begin(timedelta())
        env = urls(servers, database) | {"SEAL_KEYS": master_keys("a")}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *WORDS),
            cwd=ROOT,
            env=os.environ | env,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            while await general.fetchval(SEALED) < 2_500:
                pass  # each question is a round trip, so this is no busy loop
        process.send_signal(signal)
        _, told = await process.communicate()
        assert (process.returncode, told.decode()) == (code, words)
        assert 2_500 <= await general.fetchval(SEALED) < 6_000
        resumed = await python(*WORDS, env=env)
        assert (resumed.code, resumed.err) == (0, ""), resumed
        assert await general.fetchval(PLAIN) == 0
    async with with_a_key(servers, database) as sealed:
        assert [await words_of(there(sealed, one)) for one in people] == before
