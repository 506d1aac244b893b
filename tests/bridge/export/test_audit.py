"""An export has the audit events about its person; taken of somebody else, it leaves one."""

from __future__ import annotations

import json
from typing import Any

from app.bridge.export.service import EVENTS
from tests.support.factories import Someone, World
from tests.support.logins import superuser
from tests.support.servers import Servers, run

MANY = """
INSERT INTO audit_events (tenant_id, actor_type, actor_id, action, target_type, target_id)
SELECT '{tenant}', 'user', gen_random_uuid(), 'user.changed', 'user', '{user}'
FROM generate_series(1, {count})
"""
ELSEWHERE = """
INSERT INTO audit_events (tenant_id, actor_type, actor_id, action, target_type, target_id)
VALUES (gen_random_uuid(), 'user', '{user}', 'tenant.created', 'tenant', gen_random_uuid())
"""
ON_BEHALF = """
INSERT INTO audit_events
    (tenant_id, actor_type, actor_id, on_behalf_of, action, target_type, target_id)
VALUES ('{tenant}', 'api_key', gen_random_uuid(), '{user}', 'user.changed', 'user', '{other}')
"""
REFUSED_COMMIT = """
CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '23514'; END $$;
CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON audit_events
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION at_commit();
"""
EXPORTS = "SELECT actor_id, target_id FROM audit_events WHERE action = 'user.exported'"


async def exported(someone: Someone, path: str = "/v1/me/export") -> list[dict[str, Any]]:
    answer = await someone.http.get(path)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def events(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line["type"] == "audit_event"]


async def test_an_export_has_the_events_about_them_as_the_list_shows_them(
    world: World, servers: Servers, database: str
) -> None:
    boss, alice, other = await world.tenant_admin(), await world.member(), await world.member()
    assert (await boss.http.post(f"/v1/users/{other.id}/block")).status_code == 200
    values = {"tenant": alice.tenant_id, "user": alice.id, "other": other.id}
    await run(servers.user, ON_BEHALF.format(**values), database)
    await run(servers.user, ELSEWHERE.format(**values), database)
    lines = await exported(alice)
    assert lines[0]["type"] == "user"
    found = events(lines)
    assert lines[1 : 1 + len(found)] == found
    actions = [event["action"] for event in found]
    assert actions == ["user.created", "login", "user.changed", "tenant.created"]
    listed = (await boss.http.get("/v1/audit-events", params={"target": str(alice.id)})).json()
    shown = [{"type": "audit_event", **item} for item in reversed(listed["items"])]
    assert shown == found[:2]


async def test_pages_of_events_meet_without_gap_or_overlap(
    world: World, servers: Servers, database: str
) -> None:
    alice = await world.member()
    count = 2 * EVENTS + 1
    values = {"tenant": alice.tenant_id, "user": alice.id, "count": count}
    await run(servers.user, MANY.format(**values), database)
    ids = [event["id"] for event in events(await exported(alice))]
    assert len(set(ids)) == count + 2
    assert ids == sorted(ids)


async def test_only_an_export_of_somebody_else_leaves_an_event(
    world: World, servers: Servers, database: str
) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    await exported(alice)
    await exported(boss, f"/v1/users/{boss.id}/export")
    async with superuser(servers.user.url(database)) as sql:
        assert await sql.fetch(EXPORTS) == []
        await exported(boss, f"/v1/users/{alice.id}/export")
        assert [tuple(row) for row in await sql.fetch(EXPORTS)] == [(boss.id, alice.id)]


async def test_an_export_whose_event_is_not_committed_has_no_first_byte(
    world: World, servers: Servers, database: str
) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    await run(servers.user, REFUSED_COMMIT, database)
    answer = await boss.http.get(f"/v1/users/{alice.id}/export")
    assert answer.status_code == 422
    assert str(alice.id) not in answer.text


async def test_what_was_refused_leaves_no_event(
    world: World, servers: Servers, database: str
) -> None:
    stranger, alice = await world.tenant_admin("other"), await world.member()
    assert (await stranger.http.get(f"/v1/users/{alice.id}/export")).status_code == 404
    async with superuser(servers.user.url(database)) as sql:
        assert await sql.fetch(EXPORTS) == []
