"""A person has one key, committed before its first use; a process needs every master key in use."""

from __future__ import annotations

import asyncio
from uuid import UUID

import asyncpg
import pytest

from app.accounts.wrapped_keys import WrappedKeys
from app.bridge.sealing.keys import Keys
from app.config.settings import Settings, SettingsError
from app.databases.database import Databases
from app.databases.sealing.master_keys import KeyUnavailableError
from app.databases.sealing.person_keys import place
from app.http.security import Credential, Principal
from tests.support.factories import Someone, World
from tests.support.logins import superuser
from tests.support.sealing import keys_on
from tests.support.servers import Servers

NOWHERE = place("t", UUID(int=0), UUID(int=0), UUID(int=0), "f")
WAITS = """
SELECT EXISTS (SELECT FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock')
"""
OWNER = "INSERT INTO owners (tenant_id, user_id, key_id) VALUES ($1, $2, $3)"


@pytest.fixture
def databases(world: World) -> Databases:
    return world.databases


async def looked_up(world: World, who: Someone) -> Principal:
    """Give them as the service's own look-up finds them now."""
    token = who.http.headers["authorization"].removeprefix("Bearer ")
    found: Principal = await world.app.state.gate.look_up(Credential(token))
    return found


def principal(who: Someone, **known: object) -> Principal:
    return Principal(who.id, who.tenant_id, who.username, frozenset(), **known)  # pyright: ignore[reportArgumentType]  # what a look-up would tell


async def test_fifty_first_writes_make_one_key(
    world: World, databases: Databases, settings: Settings, servers: Servers, database: str
) -> None:
    alice = await world.member()
    processes = [keys_on(databases, settings, "a") for _ in range(5)]
    firsts = [processes[n % 5].sealing.writing(principal(alice)) for n in range(50)]
    keys = [key for key in await asyncio.gather(*firsts) if key is not None]

    assert len(keys) == 50
    assert len({key.id for key in keys}) == 1
    sealed = keys[0].seal(b"text", NOWHERE)
    assert all(key.open(sealed, NOWHERE) == b"text" for key in keys)
    async with superuser(servers.user.url(database)) as sql:
        assert await sql.fetchval("SELECT count(*) FROM wrapped_keys") == 1
        assert await sql.fetchval("SELECT plain_until FROM wrapped_keys") is None


async def test_a_key_is_committed_durably(
    world: World, databases: Databases, settings: Settings, servers: Servers, database: str
) -> None:
    """Whatever the server does with other transactions: the rest of this one tells."""
    alice = await world.member()
    assert await keys_on(databases, settings, "a").sealing.writing(principal(alice))
    async with superuser(servers.user.url(database)) as sql:
        await sql.execute("DELETE FROM wrapped_keys")
        for before, then in (("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")):
            async with sql.transaction():
                await sql.execute(f"SET LOCAL synchronous_commit = {before}")
                await sql.execute(
                    "SELECT keep_wrapped_key($1, $2, gen_random_uuid(), 'a', '', false)",
                    *(alice.tenant_id, alice.id),
                )
                assert await sql.fetchval("SHOW synchronous_commit") == then


async def test_the_look_up_brings_the_key_along(
    world: World, databases: Databases, settings: Settings
) -> None:
    alice = await world.member()
    keys = keys_on(databases, settings, "a")
    made = await keys.sealing.writing(principal(alice))
    found = await looked_up(world, alice)

    assert made is not None
    assert found.is_sealing
    assert found.wrapped_key is not None
    assert found.wrapped_key.id == made.id
    assert "wrapped" not in repr(found)
    read = keys.sealing.reading(found)
    assert read is not None
    assert read.open(made.seal(b"text", NOWHERE), NOWHERE) == b"text"
    nobody_knows = keys_on(databases, settings).sealing
    with pytest.raises(KeyUnavailableError):
        nobody_knows.reading(found)
    with pytest.raises(KeyUnavailableError):
        await nobody_knows.writing(found)
    with pytest.raises(KeyUnavailableError):
        await nobody_knows.writing(principal(alice, is_sealing=True))
    with pytest.raises(KeyUnavailableError):
        await keys_on(databases, settings, "b").sealing.writing(principal(alice, is_sealing=True))


async def test_nothing_is_sealed_where_people_have_spoken_before(
    world: World, databases: Databases, settings: Settings
) -> None:
    """It waits for the operator's command: processes of before would not know what they read."""
    alice, bob = await world.member(), await world.member()
    assert (await alice.http.post("/v1/chat-sessions", json={})).is_success
    keys = keys_on(databases, settings, "a")
    await keys.check()

    assert await keys.sealing.writing(principal(bob)) is None
    assert not (await looked_up(world, bob)).is_sealing


async def test_a_process_without_a_key_in_use_does_not_start(
    world: World, databases: Databases, settings: Settings
) -> None:
    await keys_on(databases, settings).check()
    await keys_on(databases, settings, "a").check()  # begins, since nobody has spoken

    await keys_on(databases, settings, "b", "a").check()
    for ids, words in (((), "`a` is in use and is not there"), (("b",), "`a` is in use")):
        with pytest.raises(SettingsError, match=f"^SEAL_KEYS: the master key {words}"):
            await keys_on(databases, settings, *ids).check()
    other = keys_on(databases, settings, "b").master_keys
    impostor = keys_on(databases, settings, "a")
    impostor.master_keys = type(other)({"a": b"x" * 32})
    with pytest.raises(SettingsError, match=r"another than the one in use$"):
        await impostor.check()
    alice = await world.member()
    await keys_on(databases, settings, "0", "a").key_of(alice.tenant_id, alice.id)
    with pytest.raises(SettingsError, match="`0` is in use"):  # the first of two by its id
        await keys_on(databases, settings).check()


async def test_an_owner_with_another_key_gets_no_second_one(
    world: World, databases: Databases, settings: Settings, servers: Servers, database: str
) -> None:
    """A standby of the user database was promoted that had not the key yet."""
    alice = await world.member()
    keys = keys_on(databases, settings, "a")
    await keys.check()
    async with superuser(servers.general.url(database)) as general:
        await general.execute(OWNER, alice.tenant_id, alice.id, UUID(int=7))
    with pytest.raises(KeyUnavailableError):
        await keys.sealing.writing(await looked_up(world, alice))
    async with superuser(servers.user.url(database)) as sql:
        assert await sql.fetchval("SELECT count(*) FROM wrapped_keys") == 0


async def test_rows_of_before_are_plain_until_they_are_converted(
    world: World, databases: Databases, settings: Settings, servers: Servers, database: str
) -> None:
    alice = await world.member()
    keys = keys_on(databases, settings, "a")
    await keys.check()
    async with superuser(servers.general.url(database)) as general:
        await general.execute(OWNER, alice.tenant_id, alice.id, None)
    assert await keys.sealing.writing(await looked_up(world, alice))
    async with superuser(servers.user.url(database)) as sql:
        assert await _plain(sql)


async def _plain(sql: asyncpg.Connection) -> bool:
    return bool(await sql.fetchval("SELECT plain_until = 'infinity' FROM wrapped_keys"))


async def test_the_key_goes_with_its_person(
    world: World, databases: Databases, settings: Settings, servers: Servers, database: str
) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    keys: Keys = keys_on(databases, settings, "a")
    assert await keys.sealing.writing(principal(alice))
    assert (await boss.http.delete(f"/v1/users/{alice.id}")).is_success
    async with superuser(servers.user.url(database)) as sql:
        assert await sql.fetchval("SELECT count(*) FROM wrapped_keys") == 0
    # Somebody looked up before writes too late: there is nobody to make a key for.
    with pytest.raises(Exception, match="fk_wrapped_keys_user_id_users"):
        await keys.sealing.writing(principal(alice, is_sealing=True))


async def test_a_master_key_in_use_is_not_forgotten_meanwhile(
    world: World, databases: Databases, settings: Settings, servers: Servers, database: str
) -> None:
    """Somebody's first key is made under the old one while a rotation to another ends."""
    alice = await world.member()
    old = keys_on(databases, settings, "old", "new")
    await old.check()
    async with databases.user.session() as using:
        keys = WrappedKeys(using)
        await keys.use(old.master_keys)
        forgetting = asyncio.create_task(forget(databases))
        async with superuser(servers.user.url(database)) as sql:
            while not await sql.fetchval(WAITS):
                assert not forgetting.done()
        new = old.master_keys.new_key(alice.tenant_id, alice.id)
        await keys.keep(alice.tenant_id, alice.id, new, was_plain=False)
    await forgetting
    async with superuser(servers.user.url(database)) as sql:
        assert await sql.fetchval("SELECT array_agg(id) FROM master_keys") == ["old"]


async def forget(databases: Databases) -> None:
    async with databases.user.session() as session:
        await WrappedKeys(session).forget_unused("new")
