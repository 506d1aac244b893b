"""Two processes during a rolling restart: one has SEAL_KEYS, the other has not yet."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from signal import SIGCONT, SIGSTOP, Signals

import httpx
import psutil
import pytest

from app.config.settings import Settings
from tests.support.commands import start, urls
from tests.support.factories import Someone, World
from tests.support.logins import superuser
from tests.support.sealed import MARK, SESSIONS
from tests.support.sealing import keys_on, master_keys
from tests.support.servers import Servers
from tests.support.service import running
from tests.support.wire import refused

pytestmark = pytest.mark.slow
PLAIN = """
SELECT (SELECT count(*) FROM messages WHERE sealed IS NULL)
     + (SELECT count(*) FROM chat_sessions WHERE sealed IS NULL)
"""
SEALED_WITH_TEXT = "SELECT count(*) FROM messages WHERE sealed IS NOT NULL AND content <> ''"


@asynccontextmanager
async def client(address: str, someone: Someone) -> AsyncGenerator[httpx.AsyncClient]:
    """Be them at one of the processes."""
    token = {"Authorization": someone.http.headers["authorization"]}
    async with httpx.AsyncClient(base_url=address, headers=token, timeout=30) as http:
        yield http


def signal_all(process: subprocess.Popen[bytes], signal: Signals) -> None:
    for one in (psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)):
        one.send_signal(signal)


async def say(http: httpx.AsyncClient, path: str, text: str = MARK) -> httpx.Response:
    return await http.post(f"{path}/messages", json={"role": "user", "content": text})


async def test_the_old_process_neither_shows_what_is_sealed_nor_writes_plain(
    world: World, settings: Settings, servers: Servers, database: str
) -> None:
    alice, bob, carol = [await world.member() for _ in range(3)]
    paths = [
        f"{SESSIONS}/{(await one.http.post(SESSIONS, json={'title': MARK})).json()['id']}"
        for one in (alice, bob)
    ]
    hers, his = paths
    keys = {"SEAL_KEYS": master_keys("a")}
    without = running(settings, 1, SEAL_KEYS="")
    with without as (old, old_address), running(settings, 1, **keys) as (_, new):
        async with (
            client(old_address, alice) as alice_old,
            client(new, alice) as alice_new,
            client(old_address, bob) as bob_old,
            client(new, bob) as bob_new,
            client(old_address, carol) as carol_old,
            superuser(servers.general.url(database)) as general,
        ):
            # People have spoken, so the new process seals nothing before the command.
            for http, path in ((alice_new, hers), (bob_old, his)):
                assert (await say(http, path, "plain")).status_code == 201
            plain = await general.fetchval(PLAIN)

            signal_all(old, SIGSTOP)
            frozen = asyncio.create_task(say(bob_old, his))
            await keys_on(world.databases, settings, "a").begin(timedelta())
            assert (await say(alice_new, hers, "sealed")).status_code == 201
            signal_all(old, SIGCONT)
            assert refused(await frozen, 503)

            for path in (hers, f"{hers}/messages", f"{hers}/messages/1", SESSIONS, "/v1/me/export"):
                answer = await alice_old.get(path)
                assert refused(answer, 503), path
            for path in (his, f"{his}/messages", SESSIONS, "/v1/me/export"):
                answer = await bob_old.get(path)
                assert answer.status_code == 200, path
            assert [one["content"] for one in (await texts(bob_old, his))] == ["plain"]
            edit = {"content": MARK}
            for answer in (
                await say(bob_old, his),
                await say(alice_old, hers),
                await bob_old.patch(his, json={"title": "x"}),
                await bob_old.patch(f"{his}/messages/1", json=edit),
                await bob_old.post(f"{his}/fork"),
                await carol_old.post(SESSIONS, json={"title": "x"}),
                await carol_old.put(f"{SESSIONS}/by-external-id/mine", json={}),
                await carol_old.post("/v1/conversations", json={}),
            ):
                assert refused(answer, 503), answer.request.url

            assert (await say(bob_new, his, "sealed")).status_code == 201
            for http, path in ((alice_new, hers), (bob_new, his)):
                assert [one["content"] for one in await texts(http, path)] == ["plain", "sealed"]
            assert refused(await bob_old.get(f"{his}/messages"), 503)
            assert await general.fetchval(PLAIN) == plain
            assert await general.fetchval(SEALED_WITH_TEXT) == 0
    again = await start("run", env=urls(servers, database))
    assert again.code == 1
    assert again.line == "bicameral: SEAL_KEYS: the master key `a` is in use and is not there"


async def texts(http: httpx.AsyncClient, path: str) -> list[dict[str, str]]:
    items: list[dict[str, str]] = (await http.get(f"{path}/messages?order=asc")).json()["items"]
    return items
