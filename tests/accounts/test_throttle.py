"""Guessing: counted per account, address and both, in the database; nobody is locked out."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from app.config.settings import Settings
from tests.support.factories import PASSWORD
from tests.support.logins import ELSEWHERE, HERE, guess, superuser, threads_of, try_login, world_on
from tests.support.servers import Servers, settings_for

FREE = 3
ALICE = "\\acme\\alice"
QUIET_HOUR = "UPDATE login_failures SET at = at - interval '61 minutes'"
# A first delay is one second, less than a busy machine may take to look.
STRETCHED = "UPDATE login_failures SET at = at + interval '50 seconds'"
DELAY_IS_OVER = "UPDATE login_failures SET at = at - interval '60 seconds'"
# Of the one account and address there are.
TWENTY = """
INSERT INTO login_failures SELECT account, address, at - n * interval '61 seconds'
FROM (SELECT * FROM login_failures LIMIT 1) AS one, generate_series(1, 20) AS n
"""
AT_OTHERS = """
INSERT INTO login_failures SELECT sha256(int4send(n)), address, now() - interval '5 minutes'
FROM (SELECT address FROM login_failures LIMIT 1) AS one, generate_series($1::integer, $2) AS n
"""


@pytest.fixture
def strict(servers: Servers, database: str) -> Settings:
    return settings_for(servers, database, login_free_attempts=FREE, login_max_delay_seconds=60)


@pytest.fixture
def database_url(servers: Servers, database: str) -> str:
    return servers.user.url(database)


async def _sql(url: str, statement: str, *values: int) -> None:
    async with superuser(url) as connection:
        await connection.execute(statement, *values)


def _is_throttled(response: httpx.Response) -> bool:
    wait = int(response.headers.get("retry-after", 0))
    return response.status_code == 429 and 1 <= wait <= 60


async def test_an_account_is_throttled_after_a_few_guesses_right_password_or_not(
    strict: Settings, database_url: str
) -> None:
    async with world_on(strict) as world:
        await world.user(ALICE)
        assert await guess(world, ALICE, times=FREE + 1) == [401] * (FREE + 1)
        await _sql(database_url, STRETCHED)
        assert _is_throttled(await try_login(world, ALICE, "wrong"))
        assert _is_throttled(await try_login(world, ALICE))
        answer = (await try_login(world, ALICE)).json()
        assert (answer["status"], answer["title"]) == (429, "Too Many Requests")


async def test_an_account_is_throttled_across_addresses_whether_it_exists_or_not(
    strict: Settings, database_url: str
) -> None:
    async with world_on(strict) as world:
        await world.user(ALICE)
        for name in (ALICE, "\\acme\\nobody"):
            for number in range(FREE + 1):
                assert await guess(world, name, at=f"198.51.100.{number}") == [401]
            # Three that an address has in any case: see test_lockout.py.
            assert await guess(world, name, at=ELSEWHERE, times=3) == [401] * 3
            await _sql(database_url, STRETCHED)
            assert await guess(world, name, at=ELSEWHERE) == [429]
            await _sql(database_url, "DELETE FROM login_failures")


async def test_an_address_is_throttled_across_accounts(strict: Settings, database_url: str) -> None:
    async with world_on(strict) as world:
        await world.user(ALICE)
        for number in range(FREE * 10 + 1):
            assert await guess(world, f"\\acme\\guess-{number}", at=ELSEWHERE) == [401]
        await _sql(database_url, STRETCHED)
        assert _is_throttled(await try_login(world, ALICE, at=ELSEWHERE))
        assert (await try_login(world, ALICE, at=HERE)).status_code == 200


async def test_having_an_account_does_not_help_to_guess_at_others(
    strict: Settings, database_url: str
) -> None:
    """A success takes back what it counted itself, not the delay that the address is in."""
    async with world_on(strict) as world:
        await world.user("\\acme\\mallory")
        assert (await try_login(world, "\\acme\\mallory", at=ELSEWHERE)).status_code == 200
        threads = threads_of(world)
        threads.hold()
        late = asyncio.create_task(try_login(world, "\\acme\\mallory", at=ELSEWHERE))
        await threads.asked.wait()
        await _sql(database_url, AT_OTHERS, 2, FREE * 10)
        guesses = asyncio.create_task(guess(world, "\\acme\\other", at=ELSEWHERE))
        while threads.given < 2:
            await threads.asked.wait()
            await asyncio.sleep(0)
        await _sql(database_url, AT_OTHERS, 1, 1)
        threads.release()
        assert ((await late).status_code, await guesses) == (200, [401])
        await _sql(database_url, STRETCHED)
        assert await guess(world, "\\acme\\third", at=ELSEWHERE) == [429]


async def test_all_workers_share_the_count_and_it_survives_a_restart(
    strict: Settings, database_url: str
) -> None:
    async with world_on(strict) as one, world_on(strict) as two:
        await one.user(ALICE)
        assert await guess(one, ALICE, times=2) + await guess(two, ALICE, times=2) == [401] * 4
        await _sql(database_url, STRETCHED)
        assert await guess(one, ALICE) + await guess(two, ALICE) == [429, 429]
    async with world_on(strict) as three:
        assert await guess(three, ALICE) == [429]


async def test_a_stranger_does_not_keep_the_owner_out(strict: Settings, database_url: str) -> None:
    async with world_on(strict) as world:
        await world.user(ALICE)
        assert (await try_login(world, ALICE, at=HERE)).status_code == 200
        for _ in range(20):
            await _sql(database_url, DELAY_IS_OVER)
            assert await guess(world, ALICE, at=ELSEWHERE) == [401]
        assert await guess(world, "\\acme\\nobody", at="192.0.2.77", times=3) == [401] * 3
        assert _is_throttled(await try_login(world, ALICE, at="192.0.2.77"))
        for _ in range(5):
            assert (await try_login(world, ALICE, at=HERE)).status_code == 200


async def test_the_delay_grows_up_to_the_longest_and_ends_by_itself(
    strict: Settings, database_url: str
) -> None:
    async with world_on(strict) as world:
        await world.user(ALICE)
        await guess(world, ALICE, times=FREE)
        waits: list[int] = []
        for _ in range(9):
            await _sql(database_url, DELAY_IS_OVER)
            await guess(world, ALICE)
            waits.append(int((await try_login(world, ALICE)).headers["retry-after"]))
        assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
        await _sql(database_url, DELAY_IS_OVER)
        assert (await try_login(world, ALICE)).status_code == 200


async def test_of_a_thousand_guesses_at_once_one_is_looked_at(
    strict: Settings, database_url: str
) -> None:
    """At two workers, when the free ones are used up and the delay has just ended."""
    async with world_on(strict) as one, world_on(strict) as two:
        await one.user(ALICE)
        await guess(one, ALICE)
        await _sql(database_url, TWENTY)
        await _sql(database_url, DELAY_IS_OVER)
        threads = [threads_of(one), threads_of(two)]
        tries = [guess(world, ALICE) for _ in range(500) for world in (one, two)]
        statuses = [status for answer in await asyncio.gather(*tries) for status in answer]
        assert statuses.count(401) == sum(thread.given for thread in threads) == 1
        assert set(statuses) <= {401, 429, 503}  # 503: the pool is only so long


async def test_a_quiet_hour_forgets_failed_logins(strict: Settings, database_url: str) -> None:
    async with world_on(strict) as world:
        await world.user(ALICE)
        for _ in range(2):
            assert await guess(world, ALICE, times=FREE + 2) == [401] * (FREE + 1) + [429]
            await _sql(database_url, QUIET_HOUR)


async def test_an_ipv6_customer_is_one_address(strict: Settings, database_url: str) -> None:
    async with world_on(strict) as world:
        await world.user(ALICE)
        assert (await try_login(world, ALICE, at="2001:db8:0:1::1")).status_code == 200
        assert await guess(world, ALICE, at=ELSEWHERE, times=FREE + 1) == [401] * (FREE + 1)
        same, other = "2001:db8:0:1:aaaa:bbbb:cccc:dddd", "2001:db8:0:2::1"
        assert await guess(world, "\\acme\\nobody", at=same, times=3) == [401] * 3
        assert await guess(world, "\\acme\\nobody", at=other, times=3) == [401] * 3
        await _sql(database_url, STRETCHED)
        assert (await try_login(world, ALICE, at=same)).status_code == 200
        assert (await try_login(world, ALICE, at=other)).status_code == 429


async def test_successful_logins_never_count(strict: Settings) -> None:
    async with world_on(strict) as world:
        await world.user(ALICE)
        for _ in range(FREE * 4):
            assert (await try_login(world, ALICE)).status_code == 200
        assert await guess(world, ALICE, times=FREE + 2) == [401] * (FREE + 1) + [429]


async def test_right_confirmations_of_a_password_never_count(strict: Settings) -> None:
    async with world_on(strict) as world:
        alice = await world.someone(ALICE)
        for number in range(FREE * 4):
            old, new = (PASSWORD + "x" * (n % 2) for n in (number, number + 1))
            body = {"current_password": old, "new_password": new}
            assert (await alice.http.put("/v1/me/password", json=body)).status_code == 204


BEGIN = "SELECT FROM begin_login($1, $2, $3, 100000, interval '1 second')"
CONFIRM = "SELECT confirm_login($1, $2)"


@pytest.mark.parametrize("keys", [(b"1", b"2"), (b"2", b"1")])
async def test_logins_that_begin_and_end_at_once_do_not_deadlock(
    strict: Settings, database_url: str, keys: tuple[bytes, bytes]
) -> None:
    """Whatever the order of the digests of account and address, and while the user is deleted."""
    async with world_on(strict) as world:
        await world.user(ALICE)

    async def repeat(statement: str, *values: object) -> None:
        async with superuser(database_url) as connection:
            for _ in range(60):
                await connection.execute(statement, *values)

    begins = [repeat(BEGIN, ALICE, *order) for order in (keys, keys[::-1]) * 2]
    confirms = [repeat(CONFIRM, *keys) for _ in range(2)]
    await asyncio.gather(*begins, *confirms, repeat("DELETE FROM users"))


async def test_the_current_password_cannot_be_guessed_with_a_stolen_token(
    servers: Servers, strict: Settings
) -> None:
    async with world_on(strict) as world:
        alice = await world.someone(ALICE)
        body = {"current_password": "a wrong guess", "new_password": "x" + PASSWORD}
        tries = [await alice.http.put("/v1/me/password", json=body) for _ in range(FREE + 2)]
        assert [answer.status_code for answer in tries] == [403] * (FREE + 1) + [429]
        erasure = await alice.http.post("/v1/me/erasure", json={"current_password": "a guess"})
        assert erasure.status_code == 429
