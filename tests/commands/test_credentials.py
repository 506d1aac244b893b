"""`litestar api-keys …` and `litestar tokens …` make, list and end credentials."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.support.api_keys import ON_BEHALF_OF
from tests.support.commands import litestar, urls
from tests.support.factories import World
from tests.support.servers import Servers

# Each test starts processes, some for many seconds: run with `pytest -m slow` and by .ci/run slow.
pytestmark = pytest.mark.slow


async def test_an_operator_makes_lists_and_ends_a_key(
    servers: Servers, database: str, world: World
) -> None:
    env = urls(servers, database)
    alice = await world.member()
    options = ("--tenant", "acme", "--scope", "chat:read", "--expires-at", "2090-01-31T00:00:00Z")
    made = await litestar("api-keys", "create", "backend", *options, env=env)
    assert (made.code, made.err) == (0, ""), made
    http = world.with_token(made.out.strip())
    headers = {ON_BEHALF_OF: str(alice.id)}
    assert (await http.get("/v1/me", headers=headers)).status_code == 200
    listed = await litestar("api-keys", "list", env=env)
    key_id, *others = listed.out.split()
    assert others[:4] == ["backend", "chat:read", "ends", "2090-01-31T00:00:00Z"]
    assert (await litestar("api-keys", "list", "--tenant", "acme", env=env)).out == listed.out
    ended = await litestar("api-keys", "revoke", key_id, env=env)
    assert (ended.code, ended.out) == (0, f"Ended the API key {key_id}.\n")
    assert (await http.get("/v1/me", headers=headers)).status_code == 401
    assert (await litestar("api-keys", "list", env=env)).out == ""


async def test_an_operator_lists_and_ends_the_tokens_of_a_user(
    servers: Servers, database: str, world: World
) -> None:
    env = urls(servers, database)
    alice, bob = await world.member(), await world.member()
    await world.log_in(alice.username)
    listed = (await litestar("tokens", "list", alice.username, env=env)).out.splitlines()
    assert [line.split()[1] for line in listed] == ["login", "login"]
    ended = await litestar("tokens", "revoke", alice.username, env=env)
    assert (ended.code, ended.out) == (0, f"Ended the tokens of {alice.username}.\n")
    assert (await alice.http.get("/v1/me")).status_code == 401
    assert (await bob.http.get("/v1/me")).status_code == 200


async def test_what_cannot_be_done_is_one_line(
    servers: Servers, database: str, world: World
) -> None:
    env = urls(servers, database)
    await world.tenant("acme")
    create = ("api-keys", "create", "x", "--scope", "export", "--tenant")
    for words in (
        (*create, "nowhere"),
        (*create, "acme", "--expires-at", "tomorrow"),
        (*create, "acme", "--expires-at", "2020-01-01T00:00:00Z"),
        ("api-keys", "revoke", str(uuid4())),
        ("tokens", "list", "\\acme\\nobody"),
        ("tokens", "revoke", "\\acme\\nobody"),
    ):
        ended = await litestar(*words, env=env)
        assert (ended.code, ended.out) == (1, ""), words
        assert ended.line.startswith("bicameral: "), words
