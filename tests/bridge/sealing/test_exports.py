"""An administrator's export opens what somebody else said, with the key that comes with them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event

from tests.support.factories import World
from tests.support.sealed import MARK, SESSIONS, asked, there, with_a_key
from tests.support.servers import Servers


async def test_the_key_comes_with_the_query_that_finds_the_person(
    world: World, servers: Servers, database: str
) -> None:
    async with with_a_key(servers, database) as sealed:
        boss, alice, silent = [
            there(sealed, one)
            for one in (await world.tenant_admin(), await world.member(), await world.member())
        ]
        await asked(alice, "POST", SESSIONS, {"title": MARK})
        said = list[str]()

        def note(*call: Any) -> None:
            said.append(call[2])

        engine = sealed.databases.user.engine.sync_engine
        event.listen(engine, "before_cursor_execute", note)
        exports = [await boss.http.get(f"/v1/users/{one.id}/export") for one in (alice, silent)]
        event.remove(engine, "before_cursor_execute", note)
    assert [(one.status_code, MARK in one.text) for one in exports] == [(200, True), (200, False)]
    with_key = [one for one in said if "wrapped_key_of" in one]
    assert len(with_key) == 2
    assert all("FROM users" in one for one in with_key)
