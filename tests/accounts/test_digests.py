"""Digests of names and addresses: the same in all processes, and nothing without their key."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator

import asyncpg
import pytest

from app.accounts.digests import Digester
from app.config.settings import Settings
from tests.support.factories import World
from tests.support.log_lines import events
from tests.support.logins import HERE, guess, superuser, world_on
from tests.support.servers import Servers, settings_for

ALICE = "\\acme\\alice"
KEYS = "0123456789abcdef" * 2, "fedcba9876543210" * 2


@pytest.fixture
async def sql(servers: Servers, database: str) -> AsyncGenerator[asyncpg.Connection]:
    async with superuser(servers.user.url(database)) as connection:
        yield connection


async def digests(settings: Settings) -> tuple[bytes, bytes]:
    async with world_on(settings) as world:
        return await Digester(world.databases.user, settings).of_login(ALICE, HERE)


async def test_without_a_setting_all_processes_have_the_databases_key(
    servers: Servers, database: str, sql: asyncpg.Connection
) -> None:
    settings = settings_for(servers, database)
    assert await digests(settings) == await digests(settings)
    key = await sql.fetchval("SELECT key FROM digest_keys")
    assert len(key) == 32
    before = await digests(settings)
    await sql.execute("UPDATE digest_keys SET key = sha256(key)")
    after = await digests(settings)
    assert before[0] != after[0]
    assert before[1] != after[1]


async def test_the_key_is_a_setting(servers: Servers, database: str) -> None:
    one, other = (settings_for(servers, database, log_digest_key=key) for key in KEYS)
    found = [await digests(each) for each in (one, one, other, settings_for(servers, database))]
    assert found[0] == found[1]
    assert len({account for account, _ in found}) == 3
    assert len({address for _, address in found}) == 3


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 characters"):
        Settings.model_validate({"log_digest_key": "short"})


async def test_what_is_logged_and_stored_is_no_plain_hash(
    world: World, sql: asyncpg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else whoever reads it tries all addresses there are."""
    await world.user(ALICE)
    assert await guess(world, ALICE) == [401]
    [line] = events(capsys.readouterr().err, "login_refused")
    row = await sql.fetchrow("SELECT account, address FROM login_failures")
    assert row is not None
    for name, text in (("account", ALICE), ("address", HERE), ("address", f"{HERE}/32")):
        assert row[name].hex()[:16] == line[name]
        for plain in (text, f"{name}\0{text}"):
            assert row[name] != hashlib.sha256(plain.encode()).digest()
