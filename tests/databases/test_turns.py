"""Appends to one conversation wait for each other without keeping anybody else waiting."""

from __future__ import annotations

import asyncio

import pytest

from app.databases.turns import Turns
from tests.support.factories import a_message, a_session
from tests.support.servers import Servers
from tests.support.wire import PATIENCE_SECONDS, ROW, locked, service

APPENDS = 5
FEW = {
    "db_pool_size": 2,
    "db_lock_timeout_seconds": 600,
    "db_statement_timeout_seconds": 600,
    "request_timeout_seconds": 600,
}


async def test_a_locked_conversation_holds_one_connection(servers: Servers, database: str) -> None:
    async with service(servers, database, **FEW) as it:
        alice, bob = await it.world.member(), await it.world.member()
        hers, his = await a_session(alice), await a_session(bob)
        async with (
            locked(servers, database, ROW, hers["id"]) as row,
            asyncio.timeout(PATIENCE_SECONDS),
        ):
            appends = [a_message(alice, hers["id"]) for _ in range(APPENDS)]
            waiting = [asyncio.create_task(one) for one in appends]
            await row.has_waiting(1)
            assert (await a_message(bob, his["id"]))["position"] == 1
            await row.has_waiting(1)
        positions = sorted(one["position"] for one in await asyncio.gather(*waiting))
        assert positions == [*range(1, APPENDS + 1)]


async def test_a_turn_in_a_conversation_is_waited_for_only_so_long() -> None:
    turns = Turns(0.01)
    async with turns.of("one"):
        async with turns.of("another"):
            pass
        with pytest.raises(TimeoutError):
            async with turns.of("one"):
                pass
    async with turns.of("one"):
        pass
