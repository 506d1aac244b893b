"""Answers stay whole on a line that hands them on a few bytes at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support import pgbouncer
from tests.support.factories import a_session
from tests.support.pool_faults import faults
from tests.support.proxy import Proxy, proxied
from tests.support.servers import Servers
from tests.support.wire import PATIENCE_SECONDS, Service, service

TEXTS = [f"{number}: äöü 漢字 🎉 {'x' * number}" for number in range(12)]


@pytest.fixture(params=["user", "general"])
async def proxy(servers: Servers, request: pytest.FixtureRequest) -> AsyncIterator[Proxy]:
    async with proxied(pgbouncer.port(getattr(servers, request.param))) as proxy:
        yield proxy


@pytest.fixture
async def it(servers: Servers, database: str, proxy: Proxy) -> AsyncIterator[Service]:
    side = "user" if proxy.server_port == pgbouncer.port(servers.user) else "general"
    url = pgbouncer.url_at(proxy.port, database)
    async with service(servers, database, **{f"database_url_{side}": url}) as it:
        yield it


@pytest.mark.parametrize(("slice_bytes", "jitter_seconds"), [(3, 0), (200, 0.001)])
async def test_an_answer_sent_in_slices_is_the_same_answer(
    it: Service, proxy: Proxy, slice_bytes: int, jitter_seconds: float
) -> None:
    proxy.slice_bytes, proxy.jitter_seconds = slice_bytes, jitter_seconds
    async with asyncio.timeout(PATIENCE_SECONDS):
        alice = await it.world.member()
        messages = f"/v1/chat-sessions/{(await a_session(alice))['id']}/messages"
        items = [{"role": "user", "content": text} for text in TEXTS]
        batch = alice.http.post(f"{messages}/batch", json={"messages": items[:-2]})
        singles = [alice.http.post(messages, json=item) for item in items[-2:]]
        keyed = alice.http.post(messages, json=items[0], headers={"Idempotency-Key": "k"})
        answers = await asyncio.gather(batch, *singles, keyed)
        assert [one.status_code for one in answers] == [201] * 4
        page = (await alice.http.get(messages, params={"order": "asc", "limit": 100})).json()
        assert [one["position"] for one in page["items"]] == list(range(1, len(TEXTS) + 2))
        assert {one["content"] for one in page["items"]} == set(TEXTS)
        assert (await alice.http.get("/v1/me")).json()["username"] == alice.username
    assert await faults(it.world.databases.user) == []
    assert await faults(it.world.databases.general) == []


def test_slices_have_the_size_that_was_asked_and_hold_all() -> None:
    proxy, data = Proxy(0, slice_bytes=3), bytes(range(100))
    pieces = list(proxy.pieces(data))
    assert (b"".join(pieces), {len(one) for one in pieces}) == (data, {1, 2, 3})
