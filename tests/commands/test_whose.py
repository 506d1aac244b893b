"""An operator who holds the key follows a digest of the log to an account or an address."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.commands import Ended, litestar, urls
from tests.support.log_lines import events
from tests.support.logins import guess, world_on
from tests.support.servers import Servers, settings_for

ALICE, KEY = "\\acme\\Alice", "k" * 32
FOUR, SIX = "203.0.113.77", "2001:db8:7:8::9"


@pytest.mark.slow
async def test_a_digest_leads_to_the_account_and_the_address(
    servers: Servers, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in ("", KEY):
        settings = settings_for(servers, database, log_digest_key=key or None)
        async with world_on(settings) as world:
            if not key:
                await world.user(ALICE)
            for at in (FOUR, SIX):
                assert await guess(world, ALICE.upper(), at=at) == [401]
        four, six = events(capsys.readouterr().err, "login_refused")
        env = urls(servers, database) | {"LOG_DIGEST_KEY": key}

        async def whose(*words: str, stdin: str = "", env: dict[str, str] = env) -> Ended:
            return await litestar("whose", *words, env=env, stdin=stdin)

        answers = await asyncio.gather(
            whose(four["account"]),
            whose(four["address"], "203.0.113.0/24"),
            whose(six["address"], "2001:db8:7::/48"),
            whose(six["address"], "-", stdin=f"192.0.2.1\n{SIX}\n"),
        )
        expected = [f"account {ALICE}", f"address {FOUR}"] + ["address 2001:db8:7:8::/64"] * 2
        assert [(one.code, one.out.strip()) for one in answers[:3]] == [
            (0, line) for line in expected[:3]
        ]
        assert answers[3].out.startswith("address 2001:db8:7:8::")
        strangers = await whose(four["address"], "198.51.100.0/24")
        assert (strangers.code, strangers.out) == (1, "")
        assert "no user there is has this digest" in strangers.line
    other = await litestar("whose", four["account"], env=env | {"LOG_DIGEST_KEY": "o" * 32})
    assert other.code == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["alice"], "alice is no digest"),
        (["0123456789abcdef", "nowhere"], "nowhere is no address and no network"),
        (["0123456789abcdef", "10.0.0.0/8"], "these are 16,777,216 addresses"),
        (["0123456789abcdef", "2001:db8::/32"], "these are 4,294,967,296 addresses"),
    ],
)
async def test_what_cannot_be_looked_for_is_one_line(
    servers: Servers, database: str, words: list[str], line: str
) -> None:
    ended = await litestar("whose", *words, env=urls(servers, database))
    assert ended.code == 1
    assert line in ended.line
