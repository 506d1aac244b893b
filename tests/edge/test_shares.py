"""Whoever fills a lane keeps nobody else out of it, by whatever path the requests come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from app.edge.limits import LONGEST_PAUSE_SECONDS
from app.http.errors import Unauthenticated
from app.http.security import Credential, Principal
from tests.support.factories import PASSWORD, Someone, a_message, a_session
from tests.support.gates import gated, principal
from tests.support.logins import ELSEWHERE, HERE, client_at, threads_of, try_login, world_on
from tests.support.servers import Servers, settings_for
from tests.support.wire import (
    MESSAGES,
    PATIENCE_SECONDS,
    ROW,
    Service,
    bounded,
    locked,
    service,
)

SMALL = {"request_concurrency": 4, "request_queue": 4}
PATIENT = {"db_lock_timeout_seconds": 600, "db_statement_timeout_seconds": 600}


@pytest.fixture
async def it(servers: Servers, database: str) -> AsyncIterator[Service]:
    async with service(servers, database, **SMALL, **PATIENT) as it:
        yield it


def flood(someone: Someone, path: str, number: int) -> list[asyncio.Task[httpx.Response]]:
    body = {"role": "user", "content": "Hello"}
    return [asyncio.create_task(someone.http.post(path, json=body)) for _ in range(number)]


@bounded
async def test_others_are_served_while_one_fills_the_lane_and_its_queue(
    it: Service, servers: Servers, database: str
) -> None:
    alice, stranger = await it.world.member(), await it.world.tenant_admin("globex")
    session, theirs = await a_session(alice), await a_session(stranger)
    async with locked(servers, database, ROW, session["id"]) as row:
        flooding = flood(alice, f"/v1/chat-sessions/{session['id']}/messages", 9)
        await row.has_waiting(1)
        refused, waiting = await asyncio.wait(flooding, timeout=LONGEST_PAUSE_SECONDS * 4)
        assert {one.result().status_code for one in refused} == {503}
        await a_message(stranger, theirs["id"])
        assert (await stranger.http.get("/v1/chat-sessions")).status_code == 200
        # Her colleague has a share, too, though the service has never seen their token.
        colleague = await it.world.member()
        assert (await colleague.http.get("/v1/chat-sessions")).status_code == 200
    assert {one.status_code for one in await asyncio.gather(*waiting)} == {201}


@dataclass
class LookUps:
    """The look-up of a test: it takes long for tokens that were made up."""

    known: dict[str, Principal] = field(default_factory=dict[str, Principal])
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, credential: Credential) -> Principal:
        if credential.token in self.known:
            return self.known[credential.token]
        await self.may_end.wait()
        raise Unauthenticated


async def empty(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@bounded
async def test_made_up_tokens_keep_nobody_out() -> None:
    """Each is another one, so whoever shows them has one share, and all such have a tenant's."""
    look_ups = LookUps({"alice": principal(), "bob": principal()})
    asgi = gated(empty, look_ups, needs_token=True, **SMALL)

    def ask(token: str, address: str) -> asyncio.Task[httpx.Response]:
        transport = httpx.ASGITransport(app=asgi, client=(address, 1))
        client = httpx.AsyncClient(transport=transport, base_url="http://x")
        headers = {"Authorization": f"Bearer {token}"}
        return asyncio.create_task(client.get("/", headers=headers))

    assert (await ask("alice", HERE)).status_code == 204
    crowd = [ask(f"made-up-{number}", HERE) for number in range(9)]
    refused, waiting = await asyncio.wait(crowd, timeout=LONGEST_PAUSE_SECONDS * 4)
    assert {one.result().status_code for one in refused} == {503}
    assert (await ask("alice", HERE)).status_code == 204  # known from before
    assert (await ask("bob", ELSEWHERE)).status_code == 204
    look_ups.may_end.set()
    assert {one.status_code for one in await asyncio.gather(*waiting)} == {401}


@pytest.mark.parametrize(
    "path", ["/v1/auth/login", "/v1/auth/login/", "http://bicameral//v1/auth//login"]
)
async def test_a_crowd_of_logins_stays_in_its_lane(
    servers: Servers, database: str, path: str
) -> None:
    """However its path is written; and from another address one gets in."""
    limits = {"password_hash_threads": 1, "password_hash_queue": 7, "login_free_attempts": 9999}
    async with (
        world_on(settings_for(servers, database, **limits)) as world,
        asyncio.timeout(PATIENCE_SECONDS),
    ):
        alice = await world.member()
        threads = threads_of(world, 1)
        threads.hold()
        body = {"username": alice.username, "password": PASSWORD}
        here = client_at(world.app, HERE)
        crowd = [asyncio.create_task(here.post(path, json=body)) for _ in range(9)]
        done, waiting = await asyncio.wait(crowd, return_when=asyncio.FIRST_COMPLETED)
        assert [one.result().status_code for one in done] == [503]
        assert (await alice.http.get("/v1/me")).status_code == 200
        given = threads.given
        other = asyncio.create_task(try_login(world, alice.username, at=ELSEWHERE))
        while threads.given == given:  # noqa: ASYNC110  threads have no event for it
            await asyncio.sleep(0)
        threads.release()
        assert (await other).status_code == 200
        assert {one.status_code for one in await asyncio.gather(*waiting)} == {200}


@bounded
@pytest.mark.parametrize(
    "path", ["/v1/me/export", "/v1/me/export/", "http://bicameral//v1/me//export"]
)
async def test_exports_stay_in_their_lane(servers: Servers, database: str, path: str) -> None:
    async with service(servers, database, request_exports=1, **PATIENT) as it:
        alice = await it.world.member()
        await a_session(alice)
        async with locked(servers, database, MESSAGES) as table:
            export = asyncio.create_task(alice.http.get(path))
            await table.has_waiting(1)
            assert (await alice.http.get(path)).status_code == 503
            for other in ("/v1/me", "/v1/chat-sessions"):
                assert (await alice.http.get(other)).status_code == 200
        assert (await export).status_code == 200
