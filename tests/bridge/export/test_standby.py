"""Exports are read from the general database's standby, where there is one; nothing else is."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.support import pgbouncer
from tests.support.factories import a_message, a_session
from tests.support.logins import superuser
from tests.support.servers import Servers
from tests.support.standby import standby_of
from tests.support.wire import refused, service

NOWHERE = "postgresql://bicameral_app@127.0.0.1:1/nowhere"

pytestmark = pgbouncer.only_directly("the standby is reached without it")


async def test_an_export_waits_for_nobody_but_the_standby(servers: Servers, database: str) -> None:
    async with service(servers, database, database_url_general_read=NOWHERE) as it:
        alice = await it.world.member()
        session = await a_session(alice)
        assert (await a_message(alice, session["id"]))["position"] == 1
        assert (await alice.http.get(f"/v1/chat-sessions/{session['id']}")).status_code == 200
        assert refused(await alice.http.get("/v1/me/export"), 503)


@pytest.mark.slow
async def test_an_export_shows_what_the_standby_has(servers: Servers, database: str) -> None:
    async with standby_of(servers.general) as standby, asyncio.timeout(60):
        await standby.follows()
        url = f"postgresql://bicameral_app@127.0.0.1:{standby.port}/{database}"
        async with (
            service(servers, database, database_url_general_read=url) as it,
            superuser(standby.url()) as replay,
        ):
            alice = await it.world.member()
            session = await a_session(alice)
            for number in range(3):
                await a_message(alice, session["id"], f"old {number}")
            await standby.follows()
            await replay.execute("SELECT pg_wal_replay_pause()")
            await a_message(alice, session["id"], "new")
            for _ in range(3):
                answer = await alice.http.get("/v1/me/export")
                lines = [json.loads(line) for line in answer.text.splitlines()]
                texts = [line["content"] for line in lines if line["type"] == "message"]
                assert texts == [f"old {number}" for number in range(3)]
            opened = await replay.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = 'bicameral_app'"
            )
            assert opened == 1, "its connection is used again"
            await replay.execute("SELECT pg_wal_replay_resume()")
            page = await alice.http.get(f"/v1/chat-sessions/{session['id']}/messages")
            assert page.json()["items"][0]["content"] == "new"
