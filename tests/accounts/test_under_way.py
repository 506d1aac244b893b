"""A block, deletion, demotion or revocation holds from its commit, for what is under way, too.

Each request here is past its token's look-up when its actor is shut out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from app.http.idempotency import HEADER
from tests.support.factories import PASSWORD, Someone, World
from tests.support.locks import until_waiting
from tests.support.logins import superuser, threads_of
from tests.support.servers import Servers

NEW_PASSWORD = "another quiet corner of it"
KEY = {HEADER: "sent before"}
SHUT_OUT = {
    "block": "UPDATE users SET is_blocked = true WHERE id = $1",
    "deactivate": "UPDATE users SET is_active = false WHERE id = $1",
    "demote": """UPDATE users SET roles = '["member"]' WHERE id = $1""",
    "delete": "DELETE FROM users WHERE id = $1",
    "revoke": "DELETE FROM access_tokens WHERE user_id = $1",
}
# What a request could change, but for the actor's own state.
STORED = """
SELECT to_jsonb(u) - 'updated_at' FROM users u WHERE id <> $1
UNION ALL SELECT to_jsonb(t) FROM tenants t ORDER BY 1
"""
TAKE_ADDRESS = """
INSERT INTO users (id, tenant_id, username, email, password_hash)
VALUES (gen_random_uuid(), $1, '\\acme\\other', 'newcomer@example.org', 'x')
"""
LET_IN_AGAIN = """
UPDATE users SET roles = '["admin"]' WHERE username ~ '^.platform.root'
"""
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
OWN_HASH = "SELECT password_hash FROM users WHERE id = $1"


@dataclass
class Scene:
    """An actor, their target, and the database's own view."""

    world: World
    sql: asyncpg.Connection
    actor: Someone
    target: Someone

    async def stored(self) -> list[str]:
        return [row[0] for row in await self.sql.fetch(STORED, self.actor.id)]

    async def own_hash(self) -> str | None:
        return await self.sql.fetchval(OWN_HASH, self.actor.id)


Act = Callable[[Scene], Coroutine[Any, Any, httpx.Response]]


def new(name: str) -> dict[str, str]:
    return {"username": name, "email": f"{name}@example.org", "password": PASSWORD}


async def create(scene: Scene) -> httpx.Response:
    body = new("newcomer") | {"tenant_id": str(scene.target.tenant_id)}
    return await scene.actor.http.post("/v1/users", json=body)


async def create_again(scene: Scene) -> httpx.Response:
    return await scene.actor.http.post("/v1/users", json=new("replayed"), headers=KEY)


async def change(scene: Scene) -> httpx.Response:
    body = {"email": "changed@example.org"}
    return await scene.actor.http.patch(f"/v1/users/{scene.target.id}", json=body)


async def remove(scene: Scene) -> httpx.Response:
    return await scene.actor.http.delete(f"/v1/users/{scene.target.id}")


async def block(scene: Scene) -> httpx.Response:
    return await scene.actor.http.post(f"/v1/users/{scene.target.id}/block")


async def unblock(scene: Scene) -> httpx.Response:
    return await scene.actor.http.post(f"/v1/users/{scene.target.id}/unblock")


async def create_tenant(scene: Scene) -> httpx.Response:
    return await scene.actor.http.post("/v1/tenants", json={"name": "new"})


async def create_tenant_again(scene: Scene) -> httpx.Response:
    return await scene.actor.http.post("/v1/tenants", json={"name": "old"}, headers=KEY)


async def remove_tenant(scene: Scene) -> httpx.Response:
    return await scene.actor.http.delete(f"/v1/tenants/{scene.target.tenant_id}")


async def change_password(scene: Scene) -> httpx.Response:
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    return await scene.actor.http.put("/v1/me/password", json=body)


async def erase(scene: Scene) -> httpx.Response:
    body = {"current_password": PASSWORD}
    return await scene.actor.http.post("/v1/me/erasure", json=body)


async def log_out(scene: Scene) -> httpx.Response:
    return await scene.actor.http.post("/v1/auth/logout")


ON_USERS = (create, create_again, change, remove, block, unblock)
ON_TENANTS = (create_tenant, create_tenant_again, remove_tenant)
OWN = (change_password, erase)
CASES = [
    *(("boss", act, how) for act in (*ON_USERS, *OWN) for how in SHUT_OUT),
    *(("root", act, how) for act in (*ON_TENANTS, create, change) for how in ("block", "demote")),
    # A token whose user is blocked by hand may end, too: that harms nobody.
    *(("boss", log_out, how) for how in ("delete", "revoke")),
]


@pytest.fixture
async def sql(servers: Servers, database: str) -> AsyncGenerator[asyncpg.Connection]:
    async with superuser(servers.user.url(database)) as connection:
        yield connection


async def a_scene(world: World, sql: asyncpg.Connection, who: str, act: Act) -> Scene:
    """Make an actor who is not the last of their kind, and what they will repeat."""
    actors = {"boss": world.tenant_admin, "root": world.admin}
    await actors[who]()
    target = await world.member()
    scene = Scene(world, sql, await actors[who](), target)
    if act is unblock:
        await sql.execute("UPDATE users SET is_blocked = true WHERE id = $1", target.id)
    if act in (create_again, create_tenant_again):
        assert (await act(scene)).status_code == 201
    return scene


@pytest.mark.parametrize(
    ("who", "act", "how"), CASES, ids=lambda part: getattr(part, "__name__", part)
)
async def test_who_is_shut_out_while_they_act_changes_nothing(
    world: World, sql: asyncpg.Connection, who: str, act: Act, how: str
) -> None:
    scene = await a_scene(world, sql, who, act)
    before, own_hash = await scene.stored(), await scene.own_hash()
    async with sql.transaction():
        await sql.execute(SHUT_OUT[how], scene.actor.id)
        acting = asyncio.create_task(act(scene))
        await until_waiting(sql, on=acting)
    answer = await acting
    if how == "demote" and act in OWN:  # for one's own account nobody needs a role
        assert answer.is_success
        return
    assert answer.status_code == (403 if how == "demote" else 401), answer.text
    assert await scene.stored() == before
    assert await scene.own_hash() == (None if how == "delete" else own_hash)


async def test_a_user_whose_creator_was_blocked_during_the_hash_is_not_made(
    world: World, sql: asyncpg.Connection
) -> None:
    boss, other = await world.tenant_admin(), await world.tenant_admin()
    threads = threads_of(world)
    threads.hold()
    creating = asyncio.create_task(boss.http.post("/v1/users", json=new("newcomer")))
    await threads.asked.wait()
    assert (await other.http.post(f"/v1/users/{boss.id}/block")).status_code == 200
    threads.release()
    assert (await creating).status_code == 401
    assert not await sql.fetchval("SELECT count(*) FROM users WHERE username ~ 'newcomer'")


async def test_a_block_does_not_wait_for_an_actor_who_waits_for_a_row(
    world: World, sql: asyncpg.Connection
) -> None:
    """The actor is locked last: who only waits is shut out at once, and changes nothing."""
    root, other, alice = await world.admin(), await world.admin(), await world.member()
    url = f"/v1/users/{alice.id}"
    async with sql.transaction():
        await sql.execute("SELECT FROM users WHERE id = $1 FOR UPDATE", alice.id)
        body = {"email": "changed@example.org"}
        changing = asyncio.create_task(root.http.patch(url, json=body))
        await until_waiting(sql, on=changing)
        assert (await other.http.post(f"/v1/users/{root.id}/block")).status_code == 200
        assert not changing.done()
    assert (await changing).status_code == 401
    assert (await other.http.get(url)).json()["email"] != "changed@example.org"


async def test_a_block_waits_for_a_change_that_is_being_committed(
    world: World, sql: asyncpg.Connection
) -> None:
    """Held up at its INSERT, which comes after the last look at the actor."""
    boss, other = await world.tenant_admin(), await world.tenant_admin()
    taken = sql.transaction()
    await taken.start()
    await sql.execute(TAKE_ADDRESS, boss.tenant_id)
    creating = asyncio.create_task(boss.http.post("/v1/users", json=new("newcomer")))
    await until_waiting(sql, on=creating)
    blocking = asyncio.create_task(other.http.post(f"/v1/users/{boss.id}/block"))
    await until_waiting(sql, 2, on=blocking)
    assert not creating.done()
    assert not blocking.done()
    await taken.rollback()
    assert (await creating).status_code == 201
    assert (await blocking).status_code == 200


async def test_administrators_at_each_other_never_deadlock(
    world: World, sql: asyncpg.Connection
) -> None:
    """They are of two tenants, and act each against each, at once."""
    everybody = [await world.admin() for _ in range(3)]
    everybody += [await world.tenant_admin() for _ in range(3)]
    pairs = [(one, two) for one in everybody for two in everybody if one is not two]
    for turn in range(6):
        duels = (at_each_other(*pair, turn + number) for number, pair in enumerate(pairs))
        statuses = await asyncio.gather(*duels)
        assert set(statuses) <= {200, 201, 403, 404, 409}
        await sql.execute(LET_IN_AGAIN)
    assert await sql.fetchval(DEADLOCKS) == 0


async def at_each_other(one: Someone, two: Someone, number: int) -> int:
    """Demote, change, or create beside: what locks tenant, target and actor in each way."""
    url = f"/v1/users/{two.id}"
    match number % 3:
        case 0:
            answer = await one.http.patch(url, json={"email": f"{number}-{two.id}@example.org"})
        case 1:
            answer = await one.http.patch(url, json={"roles": ["tenant_admin"]})
        case _:
            answer = await one.http.post("/v1/users", json=new(f"made-{uuid4()}"))
    return answer.status_code
