"""Behind each proxy of the page: addresses, a prefix, limits, and a replica that stops."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM
from subprocess import Popen
from typing import Any

import httpx
import pytest

from app.config.settings import Settings
from tests.support.factories import PASSWORD, World
from tests.support.proxies import PREFIX, PROGRAMS, Proxy, replica, running
from tests.support.servers import LOUD
from tests.support.service import STOP_SECONDS, environment, until

MIB = 1 << 20
ALICE = "\\acme\\alice"
NAMES = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            not (program and shutil.which("openssl")),
            reason=f"{LOUD}: the page's {name}. Put it, and openssl, into PATH",
        ),
    )
    for name, program in PROGRAMS.items()
]


@dataclass
class Site:
    proxy: Proxy
    replicas: list[Popen[bytes]]
    logs: list[Path]

    def callers(self) -> list[str]:
        """Return the digests of the addresses that refused logins came from."""
        lines = [json.loads(line) for log in self.logs for line in log.read_text().splitlines()]
        refused = [line for line in lines if line["event"] == "login_refused"]
        return [line["address"] for line in sorted(refused, key=lambda line: line["timestamp"])]


@asynccontextmanager
async def site(name: str, settings: Settings, folder: Path) -> AsyncGenerator[Site]:
    logs = [folder / "one.log", folder / "two.log"]
    async with AsyncExitStack() as stack:
        pairs = [stack.enter_context(replica(environment(settings), log)) for log in logs]
        ports = pairs[0][1], pairs[1][1]
        proxy = stack.enter_context(running(name, folder, ports))
        async with proxy.client() as client, asyncio.timeout(STOP_SECONDS):
            while not (await client.get("/health/ready")).is_success:
                pass  # the proxy looks at their health first
        yield Site(proxy, [process for process, _ in pairs], logs)


# Half a minute each: one of them is enough for every run.
@pytest.mark.parametrize(
    "name", [one if one == "nginx" else pytest.param(one, marks=pytest.mark.slow) for one in NAMES]
)
async def test_the_page_s_proxy_does_what_the_page_says(
    name: str, settings: Settings, world: World, tmp_path: Path
) -> None:
    """All in one, since two replicas and a proxy start for it."""
    await world.user(ALICE)
    boss = await world.tenant_admin()
    token = boss.http.headers["authorization"].removeprefix("Bearer ")
    async with site(name, settings, tmp_path) as here:
        await _addresses_are_the_clients(here)
        async with here.proxy.client(token=token) as client:
            await _links_lead_under_the_prefix(client, world)
            await _limits_hold(here, client, token)
            await _a_replica_stops_without_a_reset(here, client)


async def _addresses_are_the_clients(here: Site) -> None:
    body = {"username": "\\acme\\nobody", "password": PASSWORD}
    for source in ("127.0.0.2", "127.0.0.3", "127.0.0.2"):
        async with here.proxy.client(source) as client:
            forged = {"X-Forwarded-For": f"203.0.113.{source[-1]}, 127.0.0.1"}
            answer = await client.post("/v1/auth/login", json=body, headers=forged)
            assert answer.status_code == 401, answer.text
    until(lambda: len(here.callers()) == 3)
    first, second, third = here.callers()
    assert first == third
    assert first != second


async def _links_lead_under_the_prefix(client: httpx.AsyncClient, world: World) -> None:
    page = await client.get("/schema")
    links = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert len(links) > 4
    for link in links:
        assert link.startswith(f"{PREFIX}/schema/")
        assert (await client.get(link.removeprefix(PREFIX))).status_code == 200
    document = (await client.get("/schema/openapi.json")).json()
    assert document["servers"] == [{"url": PREFIX}]
    doomed = await world.member()
    answer = await client.delete(f"/v1/users/{doomed.id}")
    assert answer.headers["location"] == f"{PREFIX}/v1/erasures/{doomed.id}"
    followed = await client.get(answer.headers["location"].removeprefix(PREFIX))
    assert followed.status_code == 200
    assert (await client.get("/metrics")).status_code == 404


async def _limits_hold(here: Site, client: httpx.AsyncClient, token: str) -> None:
    """A body that is too long is 413, whoever notices: no 502, and no broken connection."""
    for size in (10 * MIB + 1, 10 * MIB + 1, 10 * MIB + MIB // 2, 40 * MIB):
        assert await here.proxy.status_of_upload("/v1/chat-sessions", token, size) == 413, size
    session = (await client.post("/v1/chat-sessions", json={})).json()
    message = {"role": "user", "content": "x" * (MIB // 8)}
    batch = {"messages": [message] * 8}
    stored = await client.post(f"/v1/chat-sessions/{session['id']}/messages/batch", json=batch)
    assert stored.status_code == 201, stored.text


@dataclass
class Work:
    """Clients who read and write without pause, each on a connection of its own."""

    client: httpx.AsyncClient
    answered: int = 0
    failures: list[Any] = field(default_factory=list[Any])
    is_over: bool = False

    async def go_on(self) -> None:
        while not self.is_over:
            for method, path in (("POST", "/v1/chat-sessions"), ("GET", "/v1/me")):
                try:
                    answer = await self.client.request(method, path)
                    if answer.is_success:
                        self.answered += 1
                    else:
                        self.failures.append((method, answer.status_code, answer.text))
                except httpx.TransportError as error:
                    self.failures.append((method, repr(error)))


async def _a_replica_stops_without_a_reset(here: Site, client: httpx.AsyncClient) -> None:
    work = Work(client)
    tasks = [asyncio.create_task(work.go_on()) for _ in range(6)]
    await asyncio.sleep(1)  # at work on both
    here.replicas[0].send_signal(SIGTERM)
    await asyncio.to_thread(here.replicas[0].wait, STOP_SECONDS)
    await asyncio.sleep(1)  # with the other alone
    work.is_over = True
    await asyncio.gather(*tasks)
    assert work.answered > 50
    assert work.failures == []
