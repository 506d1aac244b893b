"""Erasures over HTTP, to those who administer; the figures for operators."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest

from app.bridge.erasure.relay import Relay
from tests.support.factories import PASSWORD, Someone, World, a_message, a_session
from tests.support.metrics import scrape, value
from tests.support.servers import Servers


@pytest.fixture
async def relay(world: World) -> Relay:
    return Relay(world.databases, world.app.state.settings)


@pytest.fixture
async def user_database(servers: Servers, database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(servers.user.url(database))
    yield connection
    await connection.close()


async def deleted(boss: Someone, subject: Someone) -> httpx.Response:
    response = await boss.http.delete(f"/v1/users/{subject.id}")
    assert response.status_code == 202, response.text
    return response


async def test_an_erasure_goes_from_pending_to_complete(world: World, relay: Relay) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    session = await a_session(alice)
    await a_message(alice, session["id"])
    response = await deleted(boss, alice)
    pending = response.json()
    assert response.headers["location"] == f"/v1/erasures/{alice.id}"
    assert (await boss.http.get(response.headers["location"])).json() == pending
    assert pending["state"] == "pending"
    assert [pending[name] for name in ("completed_at", "messages", "receipt")] == [None] * 3
    assert (await alice.http.get("/v1/chat-sessions")).status_code == 401
    await relay.run_once()
    complete = (await boss.http.get(response.headers["location"])).json()
    assert complete["state"] == "complete"
    assert (complete["chat_sessions"], complete["messages"]) == (1, 1)
    assert len(complete["receipt"]) == 64
    assert complete["completed_at"].endswith("Z")
    assert complete["requested_at"] == pending["requested_at"]


async def test_a_user_may_erase_themselves(world: World, relay: Relay) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    answer = await alice.http.post("/v1/me/erasure", json={"current_password": PASSWORD})
    assert answer.status_code == 202
    await relay.run_once()
    erasure = await boss.http.get(answer.headers["location"])
    assert erasure.json()["state"] == "complete"


MANY = 2500
MAKE_MANY = """
INSERT INTO users (id, tenant_id, username)
SELECT id, $1, $2 || id FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, $3)) AS new
"""
REFUSE_MORE = """
CREATE FUNCTION refuse_more() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM gone) > 1000 THEN RAISE EXCEPTION 'too many at once'; END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER refuse_more AFTER DELETE ON users REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_more();
"""


async def test_a_large_tenant_is_deleted_by_statements_that_each_end_in_time(
    world: World, user_database: asyncpg.Connection
) -> None:
    """All of a hundred thousand users in one statement would reach its timeout, every time."""
    admin, boss = await world.admin(), await world.tenant_admin("gone")
    await user_database.execute(MAKE_MANY, boss.tenant_id, "\\gone\\", MANY)
    await user_database.execute(REFUSE_MORE)
    answer = await admin.http.delete(f"/v1/tenants/{boss.tenant_id}")
    assert (answer.status_code, answer.json()["users"]) == (202, MANY + 1)
    left = "SELECT count(*) FROM users WHERE tenant_id = $1"
    assert await user_database.fetchval(left, boss.tenant_id) == 0
    pending = await scrape(world.nobody)
    assert value(pending, "bicameral_erasure_pending") == MANY + 1


async def test_a_tenant_is_erased_user_by_user(world: World, relay: Relay) -> None:
    admin, boss = await world.admin(), await world.tenant_admin("gone")
    for _ in range(3):
        await a_session(await world.someone(f"\\gone\\m-{_}"))
    answer = await admin.http.delete(f"/v1/tenants/{boss.tenant_id}")
    assert answer.json()["users"] == 4
    while await relay.run_once():
        pass
    page = (await admin.http.get(answer.headers["location"])).json()
    assert [item["state"] for item in page["items"]] == ["complete"] * 4
    assert sum(item["chat_sessions"] for item in page["items"]) == 3


async def test_administrators_see_erasures_of_their_own_tenant_only(world: World) -> None:
    boss, other = await world.tenant_admin(), await world.tenant_admin("other")
    admin, alice, bob = await world.admin(), await world.member(), await world.member()
    await deleted(boss, alice)
    for who, status in ((boss, 200), (admin, 200), (other, 404), (bob, 403)):
        assert (await who.http.get(f"/v1/erasures/{alice.id}")).status_code == status
    assert await ids(boss) == await ids(admin) == [str(alice.id)]
    assert await ids(other) == []
    assert await ids(admin, tenant_id=str(boss.tenant_id)) == [str(alice.id)]
    assert await ids(admin, tenant_id=str(other.tenant_id)) == []
    assert await ids(boss, tenant_id=str(boss.tenant_id)) == [str(alice.id)]
    foreign = await boss.http.get("/v1/erasures", params={"tenant_id": str(other.tenant_id)})
    assert foreign.status_code == 404


async def ids(who: Someone, **params: str) -> list[str]:
    answer = await who.http.get("/v1/erasures", params=params)
    assert answer.status_code == 200, answer.text
    return [item["user_id"] for item in answer.json()["items"]]


async def test_who_is_not_deleted_has_no_erasure(world: World) -> None:
    boss, alice, admin = await world.tenant_admin(), await world.member(), await world.admin()
    for who in (boss, admin):
        assert (await who.http.get(f"/v1/erasures/{alice.id}")).status_code == 404
        assert (await who.http.get(f"/v1/erasures/{world_without()}")).status_code == 404


def world_without() -> str:
    return "00000000-0000-7000-8000-000000000000"


@pytest.mark.parametrize("role", ["boss", "admin"])
async def test_erasures_are_paged(world: World, role: str) -> None:
    boss, admin = await world.tenant_admin(), await world.admin()
    members = [await world.member() for _ in range(5)]
    for member in members:
        await deleted(boss, member)
    who, found = {"boss": boss, "admin": admin}[role], list[str]()
    page: dict[str, Any] = {"next": None}
    while page["next"] or not found:
        params = {"limit": "2"} | ({"after": page["next"]} if page["next"] else {})
        page = (await who.http.get("/v1/erasures", params=params)).json()
        found += [item["user_id"] for item in page["items"]]
    assert found == sorted(str(member.id) for member in members)
    bad = await who.http.get("/v1/erasures", params={"after": "nonsense"})
    assert bad.status_code == 422


async def test_metrics_show_the_backlog_of_erasures(
    world: World, relay: Relay, user_database: asyncpg.Connection
) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    session = await a_session(alice)
    await a_message(alice, session["id"])
    before = await scrape(world.nobody)
    assert value(before, "bicameral_erasure_pending") == 0
    await deleted(boss, alice)
    await user_database.execute(
        "UPDATE subject_ledger SET changed_at = now() - interval '1 hour', attempts = 7"
        " WHERE state = 'deleted'"
    )
    pending = await scrape(world.nobody)
    assert value(pending, "bicameral_erasure_pending") == 1
    assert 3600 <= value(pending, "bicameral_erasure_oldest_pending_seconds") < 3700
    assert value(pending, "bicameral_erasure_attempts_max") == 7
    await relay.run_once()
    after = await scrape(world.nobody)
    assert value(after, "bicameral_erasure_pending") == 0
    for name, labels in (
        ("bicameral_erasures_completed_total", {}),
        ("bicameral_erasure_purged_rows_total", {"table": "messages"}),
    ):
        assert value(after, name, **labels) - value(before, name, **labels) == 1
