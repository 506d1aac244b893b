"""People whose key is lost, or whose rows cannot be read, hold up nobody after them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from app.bridge.sealing.conversion import Conversion, Person
from app.config.settings import Settings
from tests.support.commands import litestar, urls
from tests.support.factories import World
from tests.support.logins import superuser
from tests.support.sealed import SESSIONS, asked
from tests.support.sealing import keys_on, master_keys
from tests.support.servers import Servers

LOSE = "UPDATE owners SET key_id = $1 WHERE user_id = $2"
DAMAGE = "UPDATE chat_sessions SET metadata = '{' WHERE user_id = $1"
SEALED = "SELECT user_id FROM chat_sessions WHERE sealed IS NOT NULL ORDER BY user_id"
CUT = "UPDATE wrapped_keys SET wrapped = substr(wrapped, 2) WHERE user_id = $1"
LEFT = "SELECT user_id FROM wrapped_keys ORDER BY user_id"


async def test_who_cannot_be_converted_is_listed_and_the_others_are_done(
    world: World, settings: Settings, servers: Servers, database: str
) -> None:
    people = sorted([await world.member() for _ in range(4)], key=lambda one: one.id)
    for someone in people:
        await asked(someone, "POST", SESSIONS, {"title": "Plain", "metadata": {"a": "b"}})
    lost, damaged, *others = people
    keys = keys_on(world.databases, settings, "a")
    await keys.begin(timedelta())
    env = urls(servers, database) | {"SEAL_KEYS": master_keys("a")}
    async with (
        superuser(servers.general.url(database)) as general,
        superuser(servers.user.url(database)) as user,
    ):
        await general.execute(LOSE, UUID(int=7), lost.id)
        await general.execute(DAMAGE, damaged.id)
        sealed = await litestar("keys", "seal", env=env)
        assert sealed.code == 1
        assert sealed.line.startswith("bicameral: 2 people have rows that cannot be sealed")
        assert sealed.out.splitlines() == [
            f"tenant {one.tenant_id}, user {one.id}: could not be sealed" for one in (lost, damaged)
        ]
        done = [row["user_id"] for row in await general.fetch(SEALED)]
        assert done == [one.id for one in others]
        await user.execute(CUT, others[0].id)
        conversion = Conversion(keys, world.databases, print, settling=timedelta())
        assert await conversion.unseal(lambda: None) == [Person(others[0].tenant_id, others[0].id)]
        left = [row["user_id"] for row in await general.fetch(SEALED)]
        assert left == [others[0].id]
        assert others[0].id in [row["user_id"] for row in await user.fetch(LEFT)]


async def test_what_keeps_everybody_from_it_is_told_as_what_it_is(
    world: World, settings: Settings, general: asyncpg.Connection[Any]
) -> None:
    """Nobody is listed as one whose rows cannot be sealed because the login may not write."""
    alice = await world.member()
    await asked(alice, "POST", SESSIONS, {"title": "Plain"})
    conversion = Conversion(
        keys_on(world.databases, settings, "a"), world.databases, print, settling=timedelta()
    )
    await general.execute("REVOKE UPDATE ON chat_sessions FROM bicameral_app")
    with pytest.raises(DBAPIError, match="permission denied"):
        await conversion.seal(lambda: None)
    assert await general.fetch(SEALED) == []


async def test_people_are_read_in_pages_each_of_them_once(
    world: World, general: asyncpg.Connection[Any]
) -> None:
    people = [await world.member() for _ in range(5)]
    for one in people:
        await asked(one, "POST", SESSIONS)
    place, read = (UUID(int=0), UUID(int=0)), list[UUID]()
    while page := await general.fetch("SELECT * FROM owners_page($1, $2, 2)", *place):
        assert len(page) <= 2
        read += [row["user_id"] for row in page]
        place = page[-1]["tenant_id"], page[-1]["user_id"]
        assert len(read) <= len(people)
    assert read == sorted(one.id for one in people)
