"""Nobody is locked out by what others do, and what is left to guess with is bounded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from datetime import timedelta

import asyncpg
import pytest

from app.config.settings import Settings
from tests.support.factories import World
from tests.support.logins import ELSEWHERE, HERE, guess, superuser, try_login, world_on
from tests.support.servers import Servers, settings_for

FREE = 3
ALICE, BOB = "\\acme\\alice", "\\acme\\bob"
OFFICE = "198.51.100.20"
FAILED = """
INSERT INTO login_failures SELECT
    sha256(convert_to('account ' || n, 'UTF8')), sha256(convert_to('address ' || n, 'UTF8')), now()
FROM generate_series(1, $1) AS n
"""
AGED = "UPDATE login_failures SET at = at - $1::interval"


@pytest.fixture
def strict(servers: Servers, database: str) -> Settings:
    return settings_for(servers, database, login_free_attempts=FREE, login_max_delay_seconds=60)


@pytest.fixture
async def sql(servers: Servers, database: str) -> AsyncGenerator[asyncpg.Connection]:
    async with superuser(servers.user.url(database)) as connection:
        yield connection


async def attack(world: World, username: str, addresses: int) -> None:
    """Guess from each address until it is delayed."""
    for number in range(addresses):
        address = f"203.0.113.{number}"
        while await guess(world, username, at=address) == [401]:
            pass


async def test_an_owner_at_a_new_address_is_let_in_while_strangers_guess(strict: Settings) -> None:
    async with world_on(strict) as world:
        await world.user(ALICE)
        await attack(world, ALICE, addresses=5)
        for number in range(5):
            answer = await try_login(world, ALICE, at=f"192.0.2.{number}")
            assert answer.status_code == 200, answer.text
            await guess(world, ALICE, at="203.0.113.200", times=2)


async def test_an_address_is_looked_at_until_it_has_failed_three_times(strict: Settings) -> None:
    async with world_on(strict) as world:
        await world.user(ALICE)
        await attack(world, ALICE, addresses=3)
        assert await guess(world, ALICE, at=HERE, times=2) == [401] * 2
        assert (await try_login(world, ALICE, at=HERE)).status_code == 200
        assert await guess(world, ALICE, at="192.0.2.1", times=4) == [401] * 3 + [429]


async def test_an_address_is_looked_at_again_when_its_failures_are_an_hour_old(
    strict: Settings, sql: asyncpg.Connection
) -> None:
    """Each by itself: no quiet hour is needed."""
    async with world_on(strict) as world:
        await world.user(ALICE)
        await attack(world, ALICE, addresses=2)
        assert await guess(world, ALICE, at=HERE, times=2) == [401] * 2
        await sql.execute(AGED, timedelta(minutes=40))
        await attack(world, ALICE, addresses=2)
        assert await guess(world, ALICE, at=HERE, times=2) == [401, 429]
        await sql.execute(AGED, timedelta(minutes=21))
        await attack(world, ALICE, addresses=2)
        assert await guess(world, ALICE, at=HERE, times=3) == [401, 401, 429]


async def test_made_up_names_at_a_shared_address_do_not_shut_it_for_who_is_known_there(
    strict: Settings,
) -> None:
    async with world_on(strict) as world:
        await world.user(ALICE)
        await world.user(BOB)
        assert (await try_login(world, ALICE, at=OFFICE)).status_code == 200
        for number in range(FREE * 10 + 1):
            await guess(world, f"\\acme\\made-up-{number}", at=OFFICE)
        assert await guess(world, BOB, at=OFFICE) == [429]
        await attack(world, ALICE, addresses=3)
        for _ in range(3):
            assert (await try_login(world, ALICE, at=OFFICE)).status_code == 200


async def test_a_known_address_is_delayed_by_guesses_at_that_very_account(
    strict: Settings,
) -> None:
    """Else somebody at the same address could guess there without end."""
    async with world_on(strict) as world:
        await world.user(ALICE)
        assert (await try_login(world, ALICE, at=OFFICE)).status_code == 200
        assert await guess(world, ALICE, at=OFFICE, times=FREE + 2) == [401] * (FREE + 1) + [429]


async def test_every_spelling_of_a_name_is_the_same_account(strict: Settings) -> None:
    spellings = [ALICE, ALICE.upper(), "\\Acme\\Alice", "\\acme\\aLICE"]
    async with world_on(strict) as world:
        await world.user(ALICE)
        assert [await guess(world, name) for name in spellings] == [[401]] * (FREE + 1)
        assert await guess(world, ALICE) == [429]


async def test_known_addresses_go_with_the_user_and_after_thirty_days(
    strict: Settings, sql: asyncpg.Connection
) -> None:
    count = "SELECT count(*) FROM login_addresses"
    async with world_on(strict) as world:
        alice, boss = await world.someone(ALICE), await world.tenant_admin()
        await sql.execute("UPDATE login_addresses SET last_login_at = now() - interval '31 days'")
        await sql.execute("DELETE FROM login_failures")
        assert (await try_login(world, ALICE, at=OFFICE)).status_code == 200
        known = "SELECT count(*) FROM login_addresses WHERE user_id = $1"
        assert await sql.fetchval(known, alice.id) == 1
        await guess(world, ALICE, at=ELSEWHERE)
        assert (await boss.http.delete(f"/v1/users/{alice.id}")).status_code == 202
        assert await sql.fetchval(count) == 1  # the administrator's
        assert await sql.fetchval("SELECT count(*) FROM login_failures") == 0


async def test_a_user_keeps_the_newest_hundred_addresses(
    strict: Settings, sql: asyncpg.Connection
) -> None:
    async with world_on(strict) as world:
        alice = await world.someone(ALICE)
        await sql.execute(
            "INSERT INTO login_addresses SELECT $1, $2, int4send(n), now() - n * interval '1 hour'"
            " FROM generate_series(1, 150) AS n",
            *(alice.tenant_id, alice.id),
        )
        assert (await try_login(world, ALICE, at=OFFICE)).status_code == 200
        kept = await sql.fetchrow("SELECT count(*), min(last_login_at) FROM login_addresses")
        assert kept is not None
        assert kept[0] == 100
        ages = await sql.fetchval("SELECT extract(epoch FROM now() - $1) / 3600", kept[1])
        assert 97 <= ages <= 99


async def test_failures_are_swept_when_they_count_no_longer(
    strict: Settings, sql: asyncpg.Connection
) -> None:
    await sql.execute(FAILED, 35)
    await sql.execute(AGED, timedelta(minutes=61))
    async with world_on(strict) as world:
        for _ in range(4):
            await guess(world, ALICE)
    assert await sql.fetchval("SELECT count(*) FROM login_failures") == 4


async def test_a_user_without_a_password_is_refused_like_nobody(
    strict: Settings, sql: asyncpg.Connection
) -> None:
    async with world_on(strict) as world:
        await world.user(ALICE)
        await sql.execute("UPDATE users SET password_hash = NULL, external_id = 'x'")
        assert await guess(world, ALICE) == [401]


TRY = """
SELECT count(*) FILTER (WHERE retry_after_seconds = 0), min(nullif(retry_after_seconds, 0))
FROM generate_series(1, $1::integer) AS n,
     begin_login($2, 'account', int4send(n), 20, interval '300 seconds')
"""


@pytest.mark.parametrize(
    ("addresses", "guesses"), [(1, 40), pytest.param(1000, 3000, marks=pytest.mark.slow)]
)
async def test_what_remains_in_guesses_at_an_account_in_an_hour(
    sql: asyncpg.Connection, addresses: int, guesses: int
) -> None:
    """Each address tries whenever its delay is over. app/README.md has these figures."""
    for hour in (1, 2):
        end, found = time.monotonic() + 3600, 0
        while (left := end - time.monotonic()) > 0:
            looked_at, wait = await sql.fetchrow(TRY, addresses, ALICE) or (0, None)
            found += looked_at
            passed = min(wait or 0, left) + 0.001
            await sql.execute(AGED, timedelta(seconds=passed))
            end -= passed
        assert guesses * 0.7 <= found <= guesses * 1.05, hour


async def test_twenty_addresses_at_once_have_three_guesses_each(strict: Settings) -> None:
    """The same over HTTP, without an hour's wait."""
    async with world_on(strict) as world:
        await world.user(ALICE)
        rounds = [
            await asyncio.gather(*(guess(world, ALICE, at=f"203.0.113.{n}") for n in range(20)))
            for _ in range(6)
        ]
        looked_at = sum(statuses == [401] for round_ in rounds for statuses in round_)
        assert 20 * 3 <= looked_at <= 20 * 3 + FREE + 3
