"""Administrators read events, of their tenant or of all, newest first, by one filter at most."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.factories import Someone, World
from tests.support.pages import items

PATH = "/v1/audit-events"
SOMEBODY = UUID(int=7)  # in names of tests, which are the same in every process


async def read(who: Someone, **query: Any) -> dict[str, Any]:
    answer = await who.http.get(PATH, params=query)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def every(who: Someone, **query: Any) -> list[dict[str, Any]]:
    return [one async for one in items(who.http, PATH, **query)]


async def test_an_event_is_what_the_contract_says(world: World) -> None:
    boss = await world.tenant_admin()
    alice = await world.user("\\acme\\alice")
    blocked = await boss.http.post(f"/v1/users/{alice.id}/block")
    [event, *_] = (await read(boss))["items"]
    at = event.pop("at")
    assert at.endswith("Z")
    assert UUID(event.pop("id")).version == 7
    assert event == {
        "actor": {"type": "user", "id": str(boss.id)},
        "on_behalf_of": None,
        "action": "user.blocked",
        "target": {"type": "user", "id": str(alice.id)},
        "request_id": blocked.headers["x-request-id"],
    }


async def test_pages_are_newest_first_and_leave_nothing_out(world: World) -> None:
    boss = await world.tenant_admin()
    for number in range(4):
        await world.user(f"\\acme\\user-{number}")
    ids = [event["id"] for event in await every(boss)]
    assert ids == sorted(ids, reverse=True)
    actions = [event["action"] for event in await every(boss)]
    assert actions == [*["user.created"] * 4, "login", "user.created", "tenant.created"]


async def test_each_filter_finds_its_events_and_no_others(world: World) -> None:
    boss, alice = await world.tenant_admin(), await world.user("\\acme\\alice")
    root = await world.admin()
    await world.user("\\acme\\bob")
    for way in ("block", "unblock"):
        assert (await boss.http.post(f"/v1/users/{alice.id}/{way}")).status_code == 200
    for who in (boss, root):
        by = [one["action"] for one in await every(who, actor=boss.id)]
        assert by == ["user.unblocked", "user.blocked", "login"]
        on = [one["action"] for one in await every(who, target=alice.id)]
        assert on == ["user.unblocked", "user.blocked", "user.created"]
        [blocked] = await every(who, action="user.blocked")
        assert blocked["target"]["id"] == str(alice.id)
        assert await every(who, actor=uuid4()) == []


async def test_a_tenants_administrator_sees_that_tenants_events_and_the_platforms_all(
    world: World,
) -> None:
    boss, other, root = (
        await world.tenant_admin(),
        await world.tenant_admin("b"),
        await world.admin(),
    )
    everything = await every(root)
    parts = [await every(who) for who in (boss, other)]
    parts.append(await every(root, tenant_id=root.tenant_id))
    assert sorted(one["id"] for part in parts for one in part) == sorted(
        one["id"] for one in everything
    )
    assert all(parts)
    assert await every(root, tenant_id=boss.tenant_id) == parts[0]
    assert await every(boss, tenant_id=boss.tenant_id) == parts[0]
    assert (await boss.http.get(f"{PATH}?tenant_id={other.tenant_id}")).status_code == 404
    assert await every(boss, actor=other.id) == []


@pytest.mark.parametrize(
    "query",
    [
        f"actor={SOMEBODY}&target={SOMEBODY}",
        f"actor={SOMEBODY}&action=login",
        f"target={SOMEBODY}&action=login",
        "action=user.promoted",
        "actor=alice",
        "actor=",
    ],
)
async def test_two_filters_and_unknown_ones_are_refused(world: World, query: str) -> None:
    boss = await world.tenant_admin()
    answer = await boss.http.get(f"{PATH}?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"]


async def test_a_cursor_is_its_filters_own(world: World) -> None:
    boss = await world.tenant_admin()
    for number in range(2):
        await world.user(f"\\acme\\user-{number}")
    cursor = (await read(boss, limit=1, action="user.created"))["next"]
    assert cursor
    others: list[dict[str, Any]] = [
        {},
        {"action": "login"},
        {"tenant_id": boss.tenant_id},
        {"actor": boss.id},
    ]
    for query in others:
        answer = await boss.http.get(PATH, params={**query, "after": cursor})
        assert answer.status_code == 422
