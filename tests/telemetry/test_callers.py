"""The log and the metrics tell who called: a person, a device of theirs, an API key, or nobody."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.support.api_keys import a_backend
from tests.support.factories import World
from tests.support.log_lines import events
from tests.support.metrics import Sample, scrape, value

KINDS = ("login", "minted", "api_key", "nobody")


def grown(before: list[Sample], after: list[Sample], **labels: str) -> dict[str, float]:
    name = "bicameral_requests_total"
    return {
        kind: value(after, name, caller=kind, **labels) - value(before, name, caller=kind, **labels)
        for kind in KINDS
    }


async def test_requests_are_counted_by_kind_of_caller(world: World) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    backend = await a_backend(world, boss)
    path = f"/v1/users/{alice.id}/tokens"
    minted = (await backend.http.post(path, json={"expires_in": 60})).json()["access_token"]
    device, acting = world.with_token(minted), backend.acting_for(alice.id)
    before = await scrape(world.nobody)
    for client, times in ((alice.http, 1), (device, 2), (acting, 3), (backend.http, 1)):
        for _ in range(times):
            await client.get("/v1/chat-sessions")
    for _ in range(5):
        await world.with_token("bic_unknown").get("/v1/chat-sessions")
    after = await scrape(world.nobody)
    well = grown(before, after, status="200")
    assert well.pop("nobody") >= 1  # who asks for the figures
    assert well == {"login": 1, "minted": 2, "api_key": 3}
    assert grown(before, after, status="400") == dict.fromkeys(KINDS, 0) | {"api_key": 1}
    assert grown(before, after, status="401") == dict.fromkeys(KINDS, 0) | {"nobody": 5}
    served = [one.labels for one in after if one.name == "bicameral_requests_total"]
    assert {one["caller"] for one in served} == set(KINDS)
    assert all(set(one) == {"caller", "status"} for one in served)


async def test_the_log_names_the_actor_beside_the_user(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    backend = await a_backend(world, boss)
    capfd.readouterr()
    for client in (
        alice.http,
        backend.acting_for(alice.id),
        backend.acting_for(uuid4()),
        backend.http,
        world.nobody,
    ):
        await client.get("/v1/chat-sessions")
    person, key, tenant = str(alice.id), str(backend.id), str(alice.tenant_id)
    assert [_who(line) for line in events(capfd.readouterr().err, "request")] == [
        (200, person, person, tenant),
        (200, person, key, tenant),
        (404, None, key, tenant),
        (400, None, key, tenant),
        (401, None, None, None),
    ]


def _who(line: dict[str, Any]) -> tuple[Any, ...]:
    return line["status"], line["user_id"], line["actor"], line["tenant_id"]
