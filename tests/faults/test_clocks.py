"""A process whose clock is two hours wrong, beside one whose clock is right: nobody notices.

Tokens, throttles, keys and lists go by the database's clock, the order of messages by none at all.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from app.config.settings import Settings
from tests.support.factories import PASSWORD, World, a_message, a_session
from tests.support.pages import items
from tests.support.servers import LOUD
from tests.support.service import running

FOLDERS = (Path(sys.prefix, "lib"), *Path("/usr/lib").glob("*/faketime"))
FOUND = (folder / "libfaketimeMT.so.1" for folder in FOLDERS)
LIBRARY = next((file for file in FOUND if file.is_file()), None)
LIFETIME = timedelta(minutes=30)  # less than the clock is wrong by

pytestmark = [
    pytest.mark.slow,  # each starts a service of its own under another clock
    pytest.mark.skipif(LIBRARY is None, reason=f"wrong clocks {LOUD}: apt-get install libfaketime"),
]


@pytest.fixture(params=["+2h", "-2h"])
async def wrong(settings: Settings, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The address of a service in a process of its own, whose clock is so far off."""
    # Monotonic clocks stay as they are: the kernel's own sleeps go by them.
    clock = {"FAKETIME": request.param, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    clock |= {
        "REQUEST_DRAIN_SECONDS": "0",
        "LD_PRELOAD": str(LIBRARY),
        "TOKEN_LIFETIME_SECONDS": str(int(LIFETIME.total_seconds())),
    }
    with ExitStack() as stack:
        _, address = await asyncio.to_thread(stack.enter_context, running(settings, 1, **clock))
        yield address


async def test_messages_are_in_order_under_a_wrong_clock(wrong: str, world: World) -> None:
    alice = await world.member()
    session = await a_session(alice)
    messages = f"/v1/chat-sessions/{session['id']}/messages"
    async with httpx.AsyncClient(base_url=wrong, headers=alice.http.headers, timeout=30) as http:
        told = datetime.fromisoformat((await http.get("/health")).json()["timestamp"])
        assert abs(told - datetime.now(UTC)) > timedelta(minutes=50), "its clock is wrong"
        positions: list[int] = []
        for _ in range(3):
            positions.append((await a_message(alice, session["id"]))["position"])
            answer = await http.post(messages, json={"role": "user", "content": "Hello"})
            assert answer.status_code == 201, answer.text
            positions.append(answer.json()["position"])
        assert positions == [1, 2, 3, 4, 5, 6]
        page = (await alice.http.get(messages, params={"order": "asc"})).json()["items"]
        times = [datetime.fromisoformat(one["created_at"]) for one in page]
        assert times == sorted(times)
        assert times[-1] - times[0] < timedelta(minutes=50)


async def test_its_sessions_are_listed_in_order(wrong: str, world: World) -> None:
    """Their ids are in the order of two clocks."""
    alice = await world.member()
    opened: list[str] = []
    async with httpx.AsyncClient(base_url=wrong, headers=alice.http.headers, timeout=30) as http:
        for _ in range(3):
            for client in (alice.http, http):
                answer = await client.post("/v1/chat-sessions")
                assert answer.status_code == 201, answer.text
                opened.append(answer.json()["id"])
    assert opened != sorted(opened), "its clock is wrong"
    pages = [one async for one in items(alice.http, "/v1/chat-sessions")]
    assert [one["id"] for one in pages] == opened[::-1]


async def test_a_token_from_a_wrong_clock_lives_as_long_as_any(wrong: str, world: World) -> None:
    alice = await world.member()
    async with httpx.AsyncClient(base_url=wrong, timeout=30) as http:
        body = {"username": alice.username, "password": PASSWORD}
        grant = (await http.post("/v1/auth/login", json=body)).json()
    left = datetime.fromisoformat(grant["expires_at"]) - datetime.now(UTC)
    assert LIFETIME - timedelta(minutes=5) < left <= LIFETIME + timedelta(minutes=5)
    me = await world.with_token(grant["access_token"]).get("/v1/me")
    assert me.json()["username"] == alice.username
