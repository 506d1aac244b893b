"""Each thing is counted once and under its own labels, none under another's."""

from __future__ import annotations

from collections import Counter

import pytest

from app.bridge.erasure.relay import Relay
from tests.support.factories import World, a_message, a_session
from tests.support.metrics import Sample, scrape, value

REQUESTS = "bicameral_request_duration_seconds_count"
STATEMENTS = "bicameral_statement_duration_seconds_count"
MESSAGES = "/v1/chat-sessions/{session_id}/messages"


def growth(before: list[Sample], after: list[Sample], name: str) -> Counter[tuple[str, ...]]:
    """Tell by how much each series has grown, by its labels' values in their names' order."""
    found: Counter[tuple[str, ...]] = Counter()
    for sign, samples in ((1, after), (-1, before)):
        for one in samples:
            if one.name == name:
                labels = tuple(one.labels[label] for label in sorted(one.labels))
                found[labels] += sign * int(one.value)
    return Counter({labels: count for labels, count in found.items() if count})


async def test_a_request_is_counted_once_as_what_it_is(world: World) -> None:
    """The labels are method, route and status, in this order."""
    alice = await world.member()
    session = await a_session(alice)
    path = f"/v1/chat-sessions/{session['id']}/messages"
    before = await scrape(world.nobody)
    for _ in range(3):
        await a_message(alice, session["id"])
    for _ in range(2):
        await alice.http.get(path)
    await world.nobody.get(path)
    await alice.http.get("/v1/nothing")
    after = await scrape(world.nobody)
    grown = growth(before, after, REQUESTS)
    assert grown.pop(("GET", "/metrics", "200")) > 0
    assert grown == {
        ("POST", MESSAGES, "201"): 3,
        ("GET", MESSAGES, "200"): 2,
        ("GET", MESSAGES, "401"): 1,
        ("GET", "", "404"): 1,
    }


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 4])
async def test_a_statement_is_counted_once_and_for_its_database(world: World, count: int) -> None:
    """Reading messages is one statement in each; reading oneself is one in the user database."""
    alice = await world.member()
    session = await a_session(alice)
    path = f"/v1/chat-sessions/{session['id']}/messages"
    await alice.http.get(path)  # opens what there is to open
    grown: list[Counter[tuple[str, ...]]] = []
    for requests in (0, count):
        before = await scrape(world.nobody)
        for _ in range(requests):
            await alice.http.get(path)
        grown.append(growth(before, await scrape(world.nobody), STATEMENTS))
    assert grown[1][("general",)] == count
    assert grown[0][("general",)] == 0
    assert grown[1][("user",)] - count in range(3)  # the figures of the backlog are read, too


async def test_what_an_erasure_purges_is_counted_under_its_own_name(world: World) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    for _ in range(2):
        session = await a_session(alice)
        for _ in range(3):
            await a_message(alice, session["id"])
    await boss.http.delete(f"/v1/users/{alice.id}")
    before = await scrape(world.nobody)
    await Relay(world.databases, world.app.state.settings).run_once()
    after = await scrape(world.nobody)
    assert growth(before, after, "bicameral_erasure_purged_rows_total") == {
        ("chat_sessions",): 2,
        ("messages",): 6,
    }
    assert growth(before, after, "bicameral_erasures_completed_total") == {(): 1}
    assert growth(before, after, "bicameral_erasures_failed_total") == {}
    assert value(after, "bicameral_erasure_pending") == 0
