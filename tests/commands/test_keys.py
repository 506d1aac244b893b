"""`litestar keys status` tells of master keys and people; `rotate` wraps every key anew."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from app.bridge.sealing import rotation
from app.config.settings import Settings
from app.databases.sealing.person_keys import place
from tests.support.commands import litestar, urls
from tests.support.factories import World
from tests.support.logins import superuser
from tests.support.sealing import keyless, keys_on, master_keys
from tests.support.servers import Servers, settings_for

CUT = "UPDATE wrapped_keys SET wrapped = substr(wrapped, 2) WHERE user_id = $1"
SPOKEN = "INSERT INTO owners (tenant_id, user_id, state) VALUES ($1, $2, $3)"
HERE = place("t", UUID(int=0), UUID(int=0), UUID(int=0), "f")
PEOPLE = """
INSERT INTO users (id, tenant_id, username)
SELECT gen_random_uuid(), $1, '\\acme\\crowd-' || n FROM generate_series(1, $2) n
RETURNING id
"""


@pytest.fixture
def settings(servers: Servers, database: str) -> Settings:
    return settings_for(servers, database, seal_keys=None)


async def test_keys_are_rotated_and_their_state_is_shown(
    world: World,
    settings: Settings,
    servers: Servers,
    database: str,
    general: asyncpg.Connection[Any],
) -> None:
    root, alice = await world.admin(), await world.member()
    old = keys_on(world.databases, settings, "old")
    await old.check()
    key = await old.key_of(alice.tenant_id, alice.id)
    sealed = old.master_keys.person_key(key, alice.tenant_id, alice.id).seal(b"text", HERE)
    env = urls(servers, database) | {"SEAL_KEYS": master_keys("new", "old")}

    before = await litestar("keys", "status", env=env)
    assert before.out.splitlines() == [
        "sealing: on",
        "master key new: active, not in use",
        "master key old: known, in use, wraps 1 people's keys",
        "people sealed from their first word on: 1",
        "people converted: 0",
        "people with plain rows: 0",
    ]
    await general.execute(SPOKEN, alice.tenant_id, uuid4(), "open")
    await general.execute(SPOKEN, alice.tenant_id, uuid4(), "closed")
    plain = await litestar("keys", "status", env=env)
    assert plain.out.splitlines()[-1] == "people with plain rows: 1"
    assert (await litestar("keys", "rotate", env=env)).out == "1 people's keys wrapped anew.\n"
    assert (await litestar("keys", "rotate", env=env)).out == "0 people's keys wrapped anew.\n"
    alone = urls(servers, database) | {"SEAL_KEYS": master_keys("new")}
    after = await litestar("keys", "status", env=alone)
    assert after.out.splitlines()[1] == "master key new: active, in use, wraps 1 people's keys"
    assert "old" not in after.out
    new = keys_on(world.databases, settings, "new")
    again = await new.key_of(alice.tenant_id, alice.id)
    assert again.id == key.id
    person = new.master_keys.person_key(again, alice.tenant_id, alice.id)
    assert person.open(sealed, HERE) == b"text"
    events = (await root.http.get("/v1/audit-events?action=seal_keys.rotated")).json()["items"]
    assert [(one["actor"]["type"], one["target"]) for one in events] == [
        ("operator", {"type": "tenant", "id": str(root.tenant_id)})
    ]


async def test_without_the_key_in_use_it_stops_with_one_line(
    world: World, settings: Settings, servers: Servers, database: str
) -> None:
    alice = await world.member()
    await keys_on(world.databases, settings, "old").key_of(alice.tenant_id, alice.id)
    env = keyless(urls(servers, database))

    none = await litestar("keys", "rotate", env=env)
    assert (none.code, none.line[:22]) == (1, "bicameral: SEAL_KEYS: ")
    for word in ("rotate", "seal", "unseal"):
        other = await litestar("keys", word, env=env | {"SEAL_KEYS": master_keys("new")})
        missing = "bicameral: SEAL_KEYS: the master key `old` is in use and is not there"
        assert (other.code, other.line) == (1, missing)
    shown = await litestar("keys", "status", env=env)
    assert "master key old: not known here, in use, wraps 1 people's keys" in shown.out
    both = f"{master_keys('a')},a:{'A' * 10}"
    bad = await litestar("keys", "status", env=env | {"SEAL_KEYS": both})
    assert (bad.code, bad.line.startswith("bicameral: SEAL_KEYS: key 2 is not 32")) == (1, True)
    assert "AAAA" not in bad.err


async def test_a_damaged_key_holds_up_nobody_elses(
    world: World, settings: Settings, servers: Servers, database: str
) -> None:
    damaged, well = sorted([await world.member() for _ in range(2)], key=lambda one: one.id)
    old = keys_on(world.databases, settings, "old")
    await old.check()
    for one in (damaged, well):
        await old.key_of(one.tenant_id, one.id)
    env = urls(servers, database) | {"SEAL_KEYS": master_keys("new", "old")}
    async with superuser(servers.user.url(database)) as sql:
        await sql.execute(CUT, damaged.id)
        rotated = await litestar("keys", "rotate", env=env)
        rows = await sql.fetch("SELECT user_id, master_id FROM wrapped_keys")
        kept = {row["user_id"]: row["master_id"] for row in rows}
    assert kept == {damaged.id: "old", well.id: "new"}
    named = f"tenant {damaged.tenant_id}, user {damaged.id}: could not be wrapped anew\n"
    assert (rotated.code, rotated.out) == (1, named)
    assert rotated.line.startswith("bicameral: 1 person has a damaged key, which is left as it is")


async def test_a_rotation_that_is_killed_goes_on_and_loses_nothing_under_load(
    world: World, settings: Settings, servers: Servers, database: str
) -> None:
    boss = await world.tenant_admin()
    old = keys_on(world.databases, settings, "old", "new")
    await old.check()
    both = keys_on(world.databases, settings, "new", "old")
    async with superuser(servers.user.url(database)) as sql:
        people = [row["id"] for row in await sql.fetch(PEOPLE, boss.tenant_id, 40)]
    firsts = [await old.key_of(boss.tenant_id, one) for one in people[:30]]

    class KilledError(Exception):
        pass

    done = 0

    def kill() -> None:
        nonlocal done
        done += 1
        if done == 12:
            raise KilledError

    with pytest.raises(KilledError):
        await rotation.rotate(both, world.databases.user, kill, rows=7)

    async def load() -> None:
        """Processes whose active key is the old one yet go on making keys under it."""
        for one in people[30:]:
            await old.key_of(boss.tenant_id, one)

    await asyncio.gather(rotation.rotate(both, world.databases.user, lambda: None, rows=7), load())
    await rotation.rotate(both, world.databases.user, lambda: None, rows=7)
    new = keys_on(world.databases, settings, "new")
    await new.check()
    found = [await new.key_of(boss.tenant_id, one) for one in people]
    assert [key.id for key in found[:30]] == [key.id for key in firsts]
    for one, key in zip(people, found, strict=True):
        new.master_keys.person_key(key, boss.tenant_id, one)
