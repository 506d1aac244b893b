"""Whatever somebody writes waits for no other person of their tenant."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from app.config.settings import Settings
from tests.support.factories import World, a_session
from tests.support.sealed import SESSIONS, asked
from tests.support.servers import Servers, settings_for

TEXT = {"role": "user", "content": "Hello"}
LOCK = "SELECT FROM owners WHERE user_id = $1 FOR UPDATE"


@pytest.fixture
def settings(servers: Servers, database: str) -> Settings:
    return settings_for(servers, database, db_lock_timeout_seconds=1)


async def test_a_neighbour_who_is_being_erased_holds_up_nobody(
    world: World, general: asyncpg.Connection[Any]
) -> None:
    alice, bob = await world.member(), await world.member()
    await a_session(bob)
    async with general.transaction():
        assert await general.fetch(LOCK, bob.id)
        session = await asked(alice, "POST", SESSIONS, {"title": "One", "external_id": "one"})
        await asked(alice, "PUT", f"{SESSIONS}/by-external-id/two", {})
        path = f"{SESSIONS}/{session['id']}"
        await asked(alice, "POST", f"{path}/messages", TEXT)
        await asked(alice, "POST", f"{path}/messages/batch", {"messages": [TEXT]})
        await asked(alice, "PATCH", f"{path}/messages/1", {"content": "Good day"})
        await asked(alice, "PATCH", path, {"title": "Another"})
        fork = await asked(alice, "POST", f"{path}/fork")
        await asked(alice, "DELETE", f"{path}/messages?after=1")
        await asked(alice, "DELETE", f"{SESSIONS}/{fork['id']}")
