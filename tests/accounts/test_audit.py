"""Each action leaves an event, written with what it tells of and rolled back with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from app.accounts.audit import Action
from app.http.security import Role
from tests.support.factories import PASSWORD, Someone, World
from tests.support.logins import superuser
from tests.support.servers import Servers, run

PAGE = Path(__file__).parents[2] / "app/accounts/README.md"
ANOTHER = "another quiet corner of it"
EVENTS = """
SELECT actor_type, actor_id, on_behalf_of, action, target_type, target_id, tenant_id, request_id
FROM audit_events ORDER BY id
"""
# COMMIT itself fails, when every statement has succeeded.
REFUSED_COMMIT = """
CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '23514'; END $$;
CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON audit_events
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION at_commit();
"""
STATE = """
SELECT (SELECT json_agg(u ORDER BY id) FROM users u)::text,
       (SELECT json_agg(t ORDER BY id) FROM tenants t)::text,
       (SELECT json_agg(t.digest ORDER BY t.digest) FROM access_tokens t)::text,
       (SELECT count(*) FROM audit_events)
"""


@pytest.fixture
async def boss(world: World) -> Someone:
    return await world.tenant_admin()


async def events(servers: Servers, database: str) -> list[asyncpg.Record]:
    async with superuser(servers.user.url(database)) as sql:
        return await sql.fetch(EVENTS)


async def last(servers: Servers, database: str, count: int = 1) -> list[tuple[Any, ...]]:
    """The newest events, without their request's id."""
    return [tuple(event)[:-1] for event in (await events(servers, database))[-count:]]


async def test_what_is_done_to_a_user_leaves_its_event(
    world: World, boss: Someone, servers: Servers, database: str
) -> None:
    alice = await world.user("\\acme\\alice")
    path = f"/v1/users/{alice.id}"
    steps = {
        Action.USER_CHANGED: lambda: boss.http.patch(path, json={"email": "a@example.org"}),
        Action.ROLES_CHANGED: lambda: boss.http.patch(path, json={"roles": ["tenant_admin"]}),
        Action.USER_BLOCKED: lambda: boss.http.post(f"{path}/block"),
        Action.USER_UNBLOCKED: lambda: boss.http.post(f"{path}/unblock"),
        Action.USER_DELETED: lambda: boss.http.delete(path),
    }
    for action, ask in steps.items():
        before = len(await events(servers, database))
        answer = await ask()
        assert answer.is_success, answer.text
        found = await events(servers, database)
        assert len(found) == before + 1
        expected = ("user", boss.id, None, action, "user", alice.id, boss.tenant_id)
        assert tuple(found[-1]) == (*expected, answer.headers["x-request-id"])


async def test_a_change_of_both_is_two_events_and_of_nothing_none(
    world: World, boss: Someone, servers: Servers, database: str
) -> None:
    alice = await world.user("\\acme\\alice")
    both: dict[str, Any] = {"email": "a@example.org", "roles": ["tenant_admin"]}
    for expected in ({Action.USER_CHANGED, Action.ROLES_CHANGED}, set[Action]()):
        before = len(await events(servers, database))
        assert (await boss.http.patch(f"/v1/users/{alice.id}", json=both)).status_code == 200
        found = (await events(servers, database))[before:]
        assert {event["action"] for event in found} == expected
        assert len(found) == len(expected)


async def test_a_login_a_new_password_a_logout_and_an_end(
    world: World, servers: Servers, database: str
) -> None:
    alice = await world.someone("\\acme\\alice")
    other = await world.log_in(alice.username)
    body = {"current_password": PASSWORD, "new_password": ANOTHER}
    assert (await alice.http.put("/v1/me/password", json=body)).status_code == 204
    again = world.with_token(await world.log_in(alice.username, ANOTHER))
    assert (await again.post("/v1/auth/logout")).status_code == 204
    assert (await world.with_token(other).get("/v1/me")).status_code == 401
    gone = await alice.http.post("/v1/me/erasure", json={"current_password": ANOTHER})
    assert gone.status_code == 202
    expected = [
        *(Action.LOGIN, Action.LOGIN, Action.PASSWORD_CHANGED, Action.LOGIN),
        *(Action.TOKEN_ENDED, Action.USER_DELETED),
    ]
    assert await last(servers, database, len(expected)) == [
        ("user", alice.id, None, action, "user", alice.id, alice.tenant_id) for action in expected
    ]


async def test_a_refused_login_leaves_none(world: World, servers: Servers, database: str) -> None:
    await world.user("\\acme\\alice")
    before = len(await events(servers, database))
    body = {"username": "\\acme\\alice", "password": "not the password at all"}
    assert (await world.nobody.post("/v1/auth/login", json=body)).status_code == 401
    assert len(await events(servers, database)) == before


async def test_who_is_made_belongs_to_their_tenant_and_a_deleted_tenant_to_the_platform(
    world: World, servers: Servers, database: str
) -> None:
    root = await world.admin()
    tenant = (await root.http.post("/v1/tenants", json={"name": "globex"})).json()["id"]
    new = {"username": "\\globex\\bob", "email": "b@example.org", "password": PASSWORD}
    bob = (await root.http.post("/v1/users", json=new)).json()["id"]
    assert (await root.http.delete(f"/v1/tenants/{tenant}")).status_code == 202
    assert [tuple(map(str, one)) for one in await last(servers, database, 3)] == [
        ("user", str(root.id), "None", "tenant.created", "tenant", tenant, tenant),
        ("user", str(root.id), "None", "user.created", "user", bob, tenant),
        ("user", str(root.id), "None", "tenant.deleted", "tenant", tenant, str(root.tenant_id)),
    ]


async def test_an_operator_is_nobody_in_particular(
    world: World, servers: Servers, database: str
) -> None:
    alice = await world.user("\\acme\\alice", Role.MEMBER)
    await world.operators.set_password(alice.username, ANOTHER)
    await world.operators.block(alice.username, None)
    await world.operators.unblock(alice.username)
    expected = ["tenant.created", "user.created", "password.changed", "user.blocked"]
    found = await events(servers, database)
    assert [event["action"] for event in found] == [*expected, "user.unblocked"]
    assert {tuple(event)[:3] for event in found} == {("operator", None, None)}
    assert {event["tenant_id"] for event in found} == {alice.tenant_id}
    assert {event["request_id"] for event in found} == {None}


def test_every_action_is_on_the_page_and_none_that_is_not() -> None:
    _, section = PAGE.read_text().split("\n## Audit events\n")
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    told = {name for row in rows for name in re.findall("`(.+?)`", row.split("|")[1])}
    assert told == set(Action)


WAYS = ("log in", "log out", "password", "create", "change", "block", "unblock", "delete", "tenant")


@pytest.mark.parametrize("way", WAYS)
async def test_neither_is_there_when_commit_fails(
    world: World, servers: Servers, database: str, way: str
) -> None:
    root, alice = await world.admin(), await world.someone("\\acme\\alice")
    async with superuser(servers.user.url(database)) as sql:
        await run(servers.user, REFUSED_COMMIT, database)
        before = await sql.fetchrow(STATE)
        answer = await _done(world, way, root, alice)
        assert answer.status_code == 422, answer.text
        assert await sql.fetchrow(STATE) == before
        await run(servers.user, "DROP FUNCTION at_commit CASCADE", database)
        assert (await _done(world, way, root, alice)).is_success
        assert await sql.fetchrow(STATE) != before


async def _done(world: World, way: str, root: Someone, alice: Someone) -> httpx.Response:
    one = f"/v1/users/{alice.id}"
    new = {"username": "\\acme\\bob", "email": "bob@example.org", "password": PASSWORD}
    renewed = {"current_password": PASSWORD, "new_password": ANOTHER}
    match way:
        case "log in":
            body = {"username": alice.username, "password": PASSWORD}
            return await world.nobody.post("/v1/auth/login", json=body)
        case "log out":
            return await alice.http.post("/v1/auth/logout")
        case "password":
            return await alice.http.put("/v1/me/password", json=renewed)
        case "create":
            return await root.http.post("/v1/users", json=new)
        case "change":
            return await root.http.patch(one, json={"email": "alice2@example.org"})
        case "delete":
            return await root.http.delete(one)
        case "tenant":
            return await root.http.delete(f"/v1/tenants/{alice.tenant_id}")
        case _:
            return await root.http.post(f"{one}/{way}")
