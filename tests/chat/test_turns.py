"""Appends to one conversation wait for each other without keeping anybody else waiting."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from app.config.settings import Settings
from app.databases.database import Databases
from tests.support.chat import writes
from tests.support.factories import Someone, a_message, a_session
from tests.support.outages import frozen
from tests.support.servers import Servers
from tests.support.wire import PATIENCE_SECONDS, ROW, locked, service

APPENDS = 5
FEW = {
    "db_pool_size": 2,
    "db_max_overflow": 0,
    "db_lock_timeout_seconds": 600,
    "db_statement_timeout_seconds": 600,
    "request_timeout_seconds": 600,
}


@pytest.mark.parametrize("are_keyed", [False, True], ids=["plain", "keyed"])
async def test_a_locked_conversation_holds_one_connection(
    servers: Servers, database: str, are_keyed: bool
) -> None:
    async with service(servers, database, **FEW) as it:
        alice, bob = await it.world.member(), await it.world.member()
        hers, his = await a_session(alice), await a_session(bob)
        async with (
            locked(servers, database, ROW, hers["id"]) as row,
            asyncio.timeout(PATIENCE_SECONDS),
        ):
            keys = [{"Idempotency-Key": f"{i}"} if are_keyed else {} for i in range(APPENDS)]
            appends = [append(alice, hers["id"], headers) for headers in keys]
            waiting = [asyncio.create_task(one) for one in appends]
            await row.has_waiting(1)
            assert (await a_message(bob, his["id"]))["position"] == 1
            await row.has_waiting(1)
        positions = sorted(one.json()["position"] for one in await asyncio.gather(*waiting))
        assert positions == [*range(1, APPENDS + 1)]


async def append(someone: Someone, session_id: str, headers: dict[str, str]) -> httpx.Response:
    body = {"role": "user", "content": "Hello"}
    path = f"/v1/chat-sessions/{session_id}/messages"
    return await someone.http.post(path, json=body, headers=headers)


async def test_a_turn_is_waited_for_as_long_as_a_lock(servers: Servers, database: str) -> None:
    """One of two appends is with the database, which is frozen; the other has to wait for it."""
    calm = FEW | {"db_lock_timeout_seconds": 0.2, "db_silence_seconds": 600}
    async with service(servers, database, **calm) as it:
        alice = await it.world.member()
        session = await a_session(alice)
        async with frozen(servers.general, database), asyncio.timeout(4):  # less than the default
            two = [asyncio.create_task(append(alice, session["id"], {})) for _ in range(2)]
            done, waiting = await asyncio.wait(two, return_when=asyncio.FIRST_COMPLETED)
        assert [one.result().status_code for one in done] == [503]
        assert [one.status_code for one in await asyncio.gather(*waiting)] == [201]


async def test_a_turn_in_a_conversation_is_waited_for_only_so_long(settings: Settings) -> None:
    turns = writes(Databases.create(settings).general, turn_seconds=0.01).turns
    async with turns.turn("one"):
        async with turns.turn("another"):
            pass
        with pytest.raises(TimeoutError):
            async with turns.turn("one"):
                pass
    async with turns.turn("one"):
        pass
