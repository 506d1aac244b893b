"""A standby of the user database is promoted that has not got somebody's key: no second one."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from app.bridge.reconcile.differences import Difference, Kind
from app.bridge.reconcile.sealed_keys import lost_keys
from tests.support import pgbouncer
from tests.support.factories import a_message, a_session
from tests.support.sealed import there
from tests.support.sealing import master_keys
from tests.support.servers import Servers
from tests.support.standby import Standby, standby_of
from tests.support.wire import refused, service

pytestmark = [pytest.mark.slow, pgbouncer.only_directly("the standby is reached without it")]


async def cut_off(standby: Standby) -> None:
    """Return once it receives nothing more from its primary."""
    sql = await asyncpg.connect(standby.url())
    await sql.execute("ALTER SYSTEM SET primary_conninfo = ''")
    await sql.execute("SELECT pg_reload_conf()")
    while await sql.fetchval("SELECT count(*) FROM pg_stat_wal_receiver"):
        pass  # each question is a round trip, so this is no busy loop
    await sql.close()


async def test_who_has_lost_their_key_is_answered_503_and_listed(
    servers: Servers, database: str
) -> None:
    keys = master_keys("a")
    async with standby_of(servers.user) as standby, asyncio.timeout(100):
        url = f"postgresql://bicameral_app@127.0.0.1:{standby.port}/{database}"
        async with service(servers, database, seal_keys=keys) as before:
            alice, bob = await before.world.member(), await before.world.member()
            theirs = await a_session(bob)
            await standby.follows()
            await cut_off(standby)
            hers = await a_session(alice)
            await a_message(alice, hers["id"], "Nobody else's")
        await standby.promote()
        async with service(servers, database, seal_keys=keys, database_url_user=url) as after:
            hurt, well = (there(after.world, one) for one in (alice, bob))
            path = f"/v1/chat-sessions/{hers['id']}"
            for _ in range(2):
                text = {"role": "user", "content": "More"}
                assert refused(await hurt.http.get(path), 503)
                assert refused(await hurt.http.get(f"{path}/messages"), 503)
                assert refused(await hurt.http.post(f"{path}/messages", json=text), 503)
                assert refused(await hurt.http.post("/v1/chat-sessions", json={}), 503)
            await a_message(well, theirs["id"], "as before")
            lost = await lost_keys(after.world.databases)
            assert lost == {Difference(Kind.KEY_LOST, alice.tenant_id, alice.id)}
        sql = await asyncpg.connect(standby.url(database))
        kept = await sql.fetch("SELECT user_id FROM wrapped_keys")
        await sql.close()
        assert [row["user_id"] for row in kept] == [bob.id]
