"""`litestar holds …` places, lists and lifts legal holds."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest

from app.bridge.holds.relay import HoldRelay
from tests.support.commands import litestar, urls
from tests.support.factories import World
from tests.support.servers import Servers

# Each test starts processes, some for many seconds: run with `pytest -m slow` and by .ci/run slow.
pytestmark = pytest.mark.slow
WHY = "litigation 2026-114"


async def test_an_operator_places_lists_and_lifts_holds(
    servers: Servers, database: str, world: World
) -> None:
    env = urls(servers, database)
    alice, bob = await world.member(), await world.someone("\\globex\\bob")
    own = alice.username.rpartition("\\")[2]
    for who in ([alice.username], [own, "--tenant", "acme"], [str(bob.id)]):
        done = await litestar("holds", "place", *who, "--reason", WHY, env=env)
        assert (done.code, done.err) == (0, ""), done
    listed = json.loads((await litestar("holds", "list", "--json", env=env)).out)
    assert {one["username"] for one in listed} == {alice.username, bob.username}
    assert {(one["reason"], one["placed_by"]) for one in listed} == {(WHY, None)}
    await HoldRelay(world.databases).run_once()
    [line] = (await litestar("holds", "list", "--tenant", "acme", env=env)).out.splitlines()
    assert line.startswith(f"{alice.id}  {alice.username}  in force since 20")
    assert line.endswith(WHY)
    refused = await litestar("users", "delete", alice.username, "--yes", env=env)
    assert (refused.code, "legal hold" in refused.line) == (1, True)
    lifted = await litestar("holds", "lift", alice.username, env=env)
    assert (lifted.code, lifted.err) == (0, "")
    assert (await litestar("holds", "list", "--tenant", "acme", env=env)).out == ""


async def test_a_mistake_is_one_line(servers: Servers, database: str, world: World) -> None:
    env = urls(servers, database)
    alice = await world.member()
    mistakes = (
        ("place", "nobody", "--reason", WHY),
        ("place", str(uuid4()), "--reason", WHY),
        ("place", alice.username, "--reason", ""),
        ("lift", alice.username),
        ("list", "--tenant", "nowhere"),
    )
    for words in mistakes:
        done = await litestar("holds", *words, env=env)
        assert (done.code, done.out, bool(done.line)) == (1, "", True), words
