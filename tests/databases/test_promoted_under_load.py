"""A primary is killed under load and its standby promoted: which acknowledged writes outlive it?

The service's URL names both servers. The standby receives nothing more, while clients go on, and
then the primary dies: with `synchronous_standby_names` no write was acknowledged that the standby
has not; without, those are lost, and reconcile says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from signal import SIGSTOP
from typing import Literal

import httpx
import pytest

from app.bridge.heartbeats import beat, restored
from app.commands.embedded.cluster import Server
from tests.support import pgbouncer
from tests.support.factories import World, a_session
from tests.support.logins import superuser
from tests.support.opened import Opener
from tests.support.outages import kill, start
from tests.support.servers import Servers, run
from tests.support.standby import Standby, standby_of
from tests.support.wire import service

Side = Literal["user", "general"]
Write = Callable[[str], Awaitable[httpx.Response]]

WRITERS = 3
BEFORE, AFTER = 30, 20  # acknowledged writes, at least
STORED = "SELECT external_id FROM users WHERE external_id IS NOT NULL"
WAITS_FOR_STANDBY = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"

# Each makes a copy of a server and takes it down; tests/databases/test_failover.py is quick.
pytestmark = [
    pytest.mark.slow,
    pgbouncer.only_directly("PgBouncer's connections to the servers are not the service's"),
]


@pytest.mark.parametrize("is_synchronous", [True, False])
@pytest.mark.parametrize("side", ["user", "general"])
async def test_acknowledged_writes_outlive_the_primary(
    servers: Servers, database: str, side: Side, is_synchronous: bool
) -> None:
    primary: Server = getattr(servers, side)
    await run(primary, f"ALTER DATABASE {database} SET synchronous_commit = on")
    async with standby_of(primary) as standby, asyncio.timeout(90):
        await standby.follows()
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        url = f"postgresql://bicameral_app@{hosts}/{database}?target_session_attrs=read-write"
        async with service(servers, database, **{f"database_url_{side}": url}) as it:
            load = Load(await a_writer(it.world, side))
            async with primary_lost(primary, database, standby, load, is_synchronous):
                await beat(it.world.databases, timedelta())
                stop_sending(primary)
                await load.acknowledges_more(0 if is_synchronous else AFTER)
                if is_synchronous:
                    await everybody_waits(primary)
                else:  # the second one notes that the first was counted
                    await beat(it.world.databases, timedelta())
                    await beat(it.world.databases, timedelta())
            await load.acknowledges_more(AFTER)
            await load.stop()
            stored = await written(side, servers, standby, database)
            lost = load.acknowledged - set(stored)
            assert len(stored) == len(set(stored)), "nothing is there twice"
            behind = await restored(it.world.databases)
            if is_synchronous:
                assert (lost, behind) == (set(), [])
            else:
                assert lost
                assert [one.name for one in behind] == [side]


async def a_writer(world: World, side: Side) -> Write:
    """Make what it takes, and return how a text is written there."""
    if side == "user":
        boss = await world.tenant_admin()
        return lambda text: boss.http.post("/v1/users", json={"external_id": text})
    alice = await world.member()
    path = f"/v1/chat-sessions/{(await a_session(alice))['id']}/messages"
    return lambda text: alice.http.post(path, json={"role": "user", "content": text})


class Load:
    """Clients who write one text after the other, and note which were acknowledged."""

    def __init__(self, write: Write) -> None:
        self.acknowledged = set[str]()
        self._write = write
        self._more = asyncio.Event()
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(WRITERS)]

    async def _client(self, number: int) -> None:
        written = 0
        while True:
            text = f"{number}-{written}"
            written += 1
            answer = await self._write(text)
            assert answer.status_code in {201, 503}, answer.text
            if answer.status_code == 201:
                self.acknowledged.add(text)
                self._more.set()

    async def acknowledges_more(self, writes: int) -> None:
        until = len(self.acknowledged) + writes
        while len(self.acknowledged) < until:
            self._more.clear()
            await self._more.wait()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        done, _ = await asyncio.wait(self._tasks)
        assert [task.exception() for task in done if not task.cancelled()] == []


@asynccontextmanager
async def primary_lost(
    primary: Server, database: str, standby: Standby, load: Load, is_synchronous: bool
) -> AsyncGenerator[None]:
    """Kill the primary after what is done inside, and promote the standby."""
    names = "*" if is_synchronous else ""
    try:
        await run(primary, f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        await run(primary, "SELECT pg_reload_conf()")
        await load.acknowledges_more(BEFORE)
        await standby.follows()
        yield
        await kill(primary)
        await standby.promote()
    finally:
        await kill(primary)
        await start(primary)
        await run(primary, "ALTER SYSTEM RESET synchronous_standby_names")
        await run(primary, "SELECT pg_reload_conf()")


def stop_sending(primary: Server) -> None:
    """Keep from the standby what is written from now on."""
    for process in primary.processes():
        if "walsender" in " ".join(process.cmdline()):
            process.send_signal(SIGSTOP)


async def everybody_waits(primary: Server) -> None:
    async with superuser(primary.url()) as witness:
        while await witness.fetchval(WAITS_FOR_STANDBY) == 0:
            pass


async def written(side: Side, servers: Servers, standby: Standby, database: str) -> list[str]:
    async with superuser(standby.url(database)) as there:
        if side == "user":
            return [row[0] for row in await there.fetch(STORED)]
        async with superuser(servers.user.url(database)) as user:
            return [row.content for row in await (await Opener.of(user, there)).messages()]
