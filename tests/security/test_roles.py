"""Roles: nobody raises themselves, and no tenant is left without an administrator."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import httpx
import pytest

from app.http.security import Role
from tests.support.factories import PASSWORD, Someone, World
from tests.support.servers import Servers

WAYS = ("demote", "deactivate", "block", "delete")
ADMINISTRATORS = """
SELECT count(*) FROM users
WHERE roles ?| ARRAY['tenant_admin', 'admin'] AND is_active AND NOT is_blocked
"""
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


async def _shut(actor: Someone, target: Someone, way: str) -> httpx.Response:
    url = f"/v1/users/{target.id}"
    match way:
        case "demote":
            return await actor.http.patch(url, json={"roles": ["member"]})
        case "deactivate":
            return await actor.http.patch(url, json={"is_active": False})
        case "block":
            return await actor.http.post(f"{url}/block")
        case _:
            return await actor.http.delete(url)


def _new(name: str, *roles: str, **more: Any) -> dict[str, Any]:
    email = f"{name}@example.com"
    return {"username": name, "email": email, "password": PASSWORD, **more} | (
        {"roles": roles} if roles else {}
    )


async def test_a_tenant_admin_cannot_grant_admin(world: World) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    granted = await boss.http.post("/v1/users", json=_new("mallory", "admin"))
    assert granted.status_code == 403
    for someone in (boss, alice):
        url = f"/v1/users/{someone.id}"
        for roles in (["admin"], ["member", "admin"]):
            assert (await boss.http.patch(url, json={"roles": roles})).status_code == 403
    names = [user["username"] for user in (await boss.http.get("/v1/users")).json()["items"]]
    assert sorted(names) == sorted([boss.username, alice.username])


async def test_a_tenant_admin_cannot_create_users_elsewhere(world: World) -> None:
    boss, other = await world.tenant_admin(), await world.tenant_admin("other")
    there = str(other.tenant_id)
    created = await boss.http.post("/v1/users", json=_new("mallory", tenant_id=there))
    assert created.status_code == 404
    named = await boss.http.post("/v1/users", json=_new("\\other\\mallory") | {"email": "m@x.com"})
    assert named.status_code == 409
    assert len((await other.http.get("/v1/users")).json()["items"]) == 1


async def test_admin_exists_in_the_platform_tenant_only(world: World) -> None:
    root, alice = await world.admin(), await world.member()
    body = _new("mallory", "admin", tenant_id=str(alice.tenant_id))
    answers = [
        await root.http.post("/v1/users", json=body),
        await root.http.patch(f"/v1/users/{alice.id}", json={"roles": ["admin"]}),
    ]
    assert [answer.status_code for answer in answers] == [409, 409]
    assert all("`platform`" in answer.json()["detail"] for answer in answers)
    again = await root.http.post("/v1/users", json=_new("second", "admin"))
    assert (again.status_code, again.json()["roles"]) == (201, ["admin"])


@pytest.mark.parametrize("way", WAYS)
async def test_the_last_administrator_stays(world: World, way: str) -> None:
    boss = await world.tenant_admin()
    assert (await _shut(boss, boss, way)).status_code == 409
    assert (await boss.http.get("/v1/users")).status_code == 200
    other = await world.tenant_admin()
    assert (await _shut(boss, other, way)).is_success
    assert (await _shut(boss, boss, way)).status_code == 409


async def test_the_last_administrator_cannot_erase_themselves(world: World) -> None:
    boss = await world.tenant_admin()
    answer = await boss.http.post("/v1/me/erasure", json={"current_password": PASSWORD})
    assert answer.status_code == 409
    assert (await boss.http.get("/v1/me")).status_code == 200


@pytest.mark.parametrize("way", WAYS)
async def test_the_last_platform_admin_stays(world: World, way: str) -> None:
    """They stay when their tenant has an administrator of the lower kind, who cannot touch them."""
    root, boss = await world.admin(), await world.tenant_admin("platform")
    assert (await _shut(root, root, way)).status_code == 409
    lower = {"roles": ["tenant_admin"]}
    assert (await root.http.patch(f"/v1/users/{root.id}", json=lower)).status_code == 409
    assert (await _shut(boss, root, way)).status_code == 403
    assert (await root.http.get("/v1/tenants")).status_code == 200
    assert (await _shut(root, boss, way)).is_success


@pytest.mark.parametrize("way", WAYS)
async def test_two_administrators_at_each_other_leave_one(
    world: World, servers: Servers, database: str, way: str
) -> None:
    """Both are past the token's check when the first of them gets the tenant's lock.

    The other is looked at again, and is no administrator any more.
    """
    one, two = await world.tenant_admin(), await world.tenant_admin()
    sql = await asyncpg.connect(servers.user.url(database))
    async with sql.transaction():
        await sql.execute("SELECT FROM tenants FOR UPDATE")
        duel = asyncio.gather(_shut(one, two, way), _shut(two, one, way))
        while await sql.fetchval(WAITING) < 2:
            assert not duel.done()
    answers = sorted(answer.status_code for answer in await duel)
    shut_out = 403 if way == "demote" else 401
    assert answers == [202 if way == "delete" else 200, shut_out]
    assert await sql.fetchval(ADMINISTRATORS) == 1
    await sql.close()


async def test_fields_that_a_body_may_not_have_are_refused(world: World) -> None:
    """Neither a tenant, an id, a hash nor a state can be slipped in."""
    boss, alice = await world.tenant_admin(), await world.member()
    url = f"/v1/users/{alice.id}"
    for name in ("tenant_id", "id", "password_hash", "password", "is_blocked", "username"):
        answer = await boss.http.patch(url, json={name: str(boss.tenant_id)})
        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, name)
    for name in ("tenant_id", "user_id", "id", "message_count"):
        answer = await alice.http.post("/v1/chat-sessions", json={name: str(boss.id)})
        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, name)
    headers = {"X-Tenant-Id": str(boss.tenant_id), "X-User-Id": str(boss.id)}
    assert (await alice.http.get("/v1/me", headers=headers)).json()["id"] == str(alice.id)


async def test_a_tenant_admin_of_the_platform_is_no_platform_admin(world: World) -> None:
    boss, alice = await world.tenant_admin("platform"), await world.member()
    assert (await boss.http.get("/v1/tenants")).status_code == 403
    assert (await boss.http.get(f"/v1/users/{alice.id}")).status_code == 404
    grant = {"roles": [Role.ADMIN.value]}
    assert (await boss.http.patch(f"/v1/users/{boss.id}", json=grant)).status_code == 403
