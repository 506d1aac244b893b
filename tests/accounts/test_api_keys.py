"""API keys: made by a tenant's administrators, shown once, ended for good."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from app.accounts.keys import has_form_of_key, is_mistyped, new_key
from app.accounts.tokens import token_digest
from tests.support.api_keys import EVERY_SCOPE, a_backend, a_key
from tests.support.factories import World
from tests.support.logins import superuser
from tests.support.pages import items
from tests.support.servers import Servers

FIELDS = [
    *("id", "tenant_id", "name", "scopes", "created_by", "created_at", "expires_at"),
    "last_used_at",
]


async def test_a_key_is_shown_once_and_only_its_digest_is_stored(
    world: World, servers: Servers, database: str
) -> None:
    boss = await world.tenant_admin()
    made = await a_key(boss, "chat:read", "chat:read", "export")
    assert list(made) == [*FIELDS, "key"]
    assert made["key"].startswith("bic_key_")
    assert (made["scopes"], made["created_by"]) == (["chat:read", "export"], str(boss.id))
    shown = (await boss.http.get(f"/v1/api-keys/{made['id']}")).json()
    assert shown == {name: made[name] for name in FIELDS}
    async with superuser(servers.user.url(database)) as sql:
        digest = await sql.fetchval("SELECT digest FROM api_keys")
        whole: str = await sql.fetchval("SELECT to_jsonb(k)::text FROM api_keys k")
    assert digest == token_digest(made["key"])
    assert made["key"].removeprefix("bic_key_")[:20] not in whole


async def test_keys_are_listed_in_pages_and_each_tenants_for_itself(world: World) -> None:
    boss, root = await world.tenant_admin(), await world.admin()
    stranger = await world.tenant_admin("globex")
    made = [await a_key(boss, "chat:read", name=f"key {n}") for n in range(5)]
    theirs = await a_key(stranger, "export")
    names = [one["name"] async for one in items(boss.http, "/v1/api-keys")]
    assert names == [f"key {n}" for n in range(5)]
    every = (await root.http.get("/v1/api-keys", params={"limit": "4"})).json()
    rest = (await root.http.get("/v1/api-keys", params={"after": every["next"]})).json()
    ids = [one["id"] for one in [*every["items"], *rest["items"]]]
    assert ids == [*(one["id"] for one in made), theirs["id"]]
    of_one = await root.http.get("/v1/api-keys", params={"tenant_id": str(stranger.tenant_id)})
    assert [one["id"] for one in of_one.json()["items"]] == [theirs["id"]]


async def test_another_tenants_key_is_not_there(world: World) -> None:
    boss, stranger = await world.tenant_admin(), await world.tenant_admin("globex")
    backend = await a_backend(world, boss, "users:read")
    path = f"/v1/api-keys/{backend.id}"
    assert (await stranger.http.get(path)).status_code == 404
    assert (await stranger.http.delete(path)).status_code == 404
    there = {"tenant_id": str(boss.tenant_id)}
    assert (await stranger.http.get("/v1/api-keys", params=there)).status_code == 404
    body = {"name": "x", "scopes": ["export"], **there}
    assert (await stranger.http.post("/v1/api-keys", json=body)).status_code == 404
    assert (await backend.http.get("/v1/users")).status_code == 200


async def test_an_administrator_of_the_platform_makes_and_ends_keys_in_any_tenant(
    world: World,
) -> None:
    boss, root = await world.tenant_admin(), await world.admin()
    backend = await a_backend(world, root, "users:read", tenant_id=str(boss.tenant_id))
    users = (await backend.http.get("/v1/users")).json()["items"]
    assert [one["id"] for one in users] == [str(boss.id)]
    assert (await root.http.delete(f"/v1/api-keys/{backend.id}")).status_code == 204
    assert (await backend.http.get("/v1/users")).status_code == 401
    assert (await root.http.delete(f"/v1/api-keys/{uuid4()}")).status_code == 404


async def test_a_key_ends_when_it_is_deleted_and_when_its_time_is_over(
    world: World, servers: Servers, database: str
) -> None:
    boss = await world.tenant_admin()
    kept, deleted = [await a_backend(world, boss, "users:read") for _ in range(2)]
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    expiring = await a_backend(world, boss, "users:read", expires_at=later)
    for backend in (kept, deleted, expiring):
        assert (await backend.http.get("/v1/users")).status_code == 200
    assert (await boss.http.delete(f"/v1/api-keys/{deleted.id}")).status_code == 204
    async with superuser(servers.user.url(database)) as sql:
        await sql.execute(
            "UPDATE api_keys SET expires_at = now() - interval '1 second'"
            " WHERE expires_at IS NOT NULL"
        )
    answers = [(await one.http.get("/v1/users")).status_code for one in (kept, deleted, expiring)]
    assert answers == [200, 401, 401]
    past = {"name": "x", "scopes": ["export"], "expires_at": "2020-01-01T00:00:00Z"}
    assert (await boss.http.post("/v1/api-keys", json=past)).status_code == 422


async def test_a_key_outlives_whoever_made_it_and_goes_with_its_tenant(world: World) -> None:
    boss, root = await world.tenant_admin(), await world.admin()
    other = await world.tenant_admin()
    backend = await a_backend(world, other, "users:read")
    assert (await boss.http.delete(f"/v1/users/{other.id}")).status_code == 202
    assert (await backend.http.get("/v1/users")).status_code == 200
    assert (await root.http.delete(f"/v1/tenants/{boss.tenant_id}")).status_code == 202
    assert (await backend.http.get("/v1/users")).status_code == 401


async def test_last_used_is_noted_once_a_minute(
    world: World, servers: Servers, database: str
) -> None:
    boss = await world.tenant_admin()
    backend = await a_backend(world, boss, "users:read")
    async with superuser(servers.user.url(database)) as sql:
        used = "SELECT last_used_at FROM api_keys"
        assert await sql.fetchval(used) is None
        await backend.http.get("/v1/users")
        first = await sql.fetchval(used)
        await backend.http.get("/v1/users")
        assert await sql.fetchval(used) == first
        old = "UPDATE api_keys SET last_used_at = now() - interval '61 seconds' RETURNING now()"
        before = await sql.fetchval(old)
        async with sql.transaction():  # whoever finds the row locked waits for nobody
            await sql.execute("SELECT FROM api_keys FOR NO KEY UPDATE")
            assert (await backend.http.get("/v1/users")).status_code == 200
        await backend.http.get("/v1/users")
        assert await sql.fetchval(used) > before


async def test_what_a_key_asks_for_is_held_to_its_rules(world: World) -> None:
    boss = await world.tenant_admin()
    for wrong in ([], ["chat:delete"], ["chat:write:any"], EVERY_SCOPE * 2):
        answer = await boss.http.post("/v1/api-keys", json={"name": "x", "scopes": wrong})
        assert answer.status_code == 422, wrong
    for body in ({"scopes": ["export"]}, {"name": "", "scopes": ["export"]}):
        assert (await boss.http.post("/v1/api-keys", json=body)).status_code == 422


async def test_a_mistyped_key_is_refused_without_a_query(
    world: World, servers: Servers, database: str
) -> None:
    key = new_key()
    mistyped = key[:20] + ("a" if key[20] != "a" else "b") + key[21:]
    assert (has_form_of_key(key), is_mistyped(key), is_mistyped(mistyped)) == (True, False, True)
    assert not has_form_of_key("bic_key_" + "a" * 39)  # a token may begin so
    async with superuser(servers.user.url(database)) as sql, sql.transaction():
        # Whoever asks the table is not answered while it is locked.
        await sql.execute("LOCK api_keys IN ACCESS EXCLUSIVE MODE")
        assert (await world.with_token(mistyped).get("/v1/users")).status_code == 401
    assert (await world.with_token(key).get("/v1/users")).status_code == 401
