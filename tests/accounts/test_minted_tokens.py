"""Tokens for people's own devices: minted by an administrator or a backend, listed and ended."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx

from tests.support.api_keys import ON_BEHALF_OF, a_backend
from tests.support.factories import PASSWORD, World, a_session
from tests.support.logins import superuser
from tests.support.pages import items
from tests.support.servers import Servers

SESSIONS, TOKENS = "/v1/chat-sessions", "/v1/me/tokens"


async def minted(minter: httpx.AsyncClient, user_id: UUID, **more: Any) -> dict[str, Any]:
    body = {"expires_in": 3600, **more}
    answer = await minter.post(f"/v1/users/{user_id}/tokens", json=body)
    assert answer.status_code == 201, answer.text
    token: dict[str, Any] = answer.json()
    return token


async def test_a_minted_token_reaches_ones_own_conversations_and_nothing_else(world: World) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    backend = await a_backend(world, boss, "tokens")
    token = await minted(backend.http, alice.id)
    ends = datetime.fromisoformat(token["expires_at"])
    assert abs(ends - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)
    device = world.with_token(token["access_token"])
    assert (await device.post(SESSIONS, json={})).status_code == 201
    assert (await device.get("/v1/me")).json()["id"] == str(alice.id)
    change = {"current_password": PASSWORD, "new_password": "another quiet corner of it"}
    forbidden = [
        await device.put("/v1/me/password", json=change),
        await device.post("/v1/me/erasure", json={"current_password": PASSWORD}),
        await device.get("/v1/me/export"),
        await device.get(TOKENS),
        await device.get(SESSIONS, headers={ON_BEHALF_OF: str(alice.id)}),
    ]
    assert [one.status_code for one in forbidden] == [403] * 5
    assert (await device.post("/v1/auth/logout")).status_code == 204
    assert (await device.get("/v1/me")).status_code == 401
    assert (await alice.http.get("/v1/me")).status_code == 200


async def test_an_administrators_minted_token_does_not_administer(world: World) -> None:
    root, boss = await world.admin(), await world.tenant_admin()
    token = await minted(root.http, boss.id)
    device = world.with_token(token["access_token"])
    assert (await device.get("/v1/users")).status_code == 403
    assert (await device.get(SESSIONS)).status_code == 200


async def test_scopes_of_a_minted_token_limit_it(world: World) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    token = await minted(boss.http, alice.id, scopes=["chat:read"])
    reader = world.with_token(token["access_token"])
    assert (await reader.get(SESSIONS)).status_code == 200
    assert (await reader.post(SESSIONS, json={})).status_code == 403
    wrong: list[dict[str, Any]] = [{"scopes": []}, {"scopes": ["export"]}, {"scopes": ["tokens"]}]
    wrong += [{"expires_in": seconds} for seconds in (0, -1, 86_401)]
    for one in wrong:
        body = {"expires_in": 60, **one}
        answer = await boss.http.post(f"/v1/users/{alice.id}/tokens", json=body)
        assert answer.status_code == 422, one


async def test_without_any_a_minted_token_writes_as_the_user_only(world: World) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    session = (await a_session(alice))["id"]
    path = f"{SESSIONS}/{session}/messages"
    said = {role: {"role": role, "content": "Hello"} for role in ("user", "assistant")}
    usual = world.with_token((await minted(boss.http, alice.id))["access_token"])
    every = ["chat:read", "chat:write", "chat:write:any"]
    whole = world.with_token((await minted(boss.http, alice.id, scopes=every))["access_token"])
    assert (await usual.post(path, json=said["user"])).status_code == 201
    assert (await usual.post(path, json=said["assistant"])).status_code == 403
    both = {"messages": [said["user"], said["assistant"]]}
    assert (await usual.post(f"{path}/batch", json=both)).status_code == 403
    assert (await whole.post(path, json=said["assistant"])).status_code == 201
    assert (await alice.http.post(path, json=said["assistant"])).status_code == 201
    count = (await alice.http.get(f"{SESSIONS}/{session}")).json()["message_count"]
    assert count == 3
    for position, status in ((1, 200), (2, 403)):
        edited = await usual.patch(f"{path}/{position}", json={"content": "Bye"})
        assert edited.status_code == status
    assert (await whole.patch(f"{path}/2", json={"content": "Bye"})).status_code == 200
    assert (await usual.get(f"{path}/2")).json()["content"] == "Bye"


async def test_it_writes_as_the_user_only_in_every_way_there_is(world: World) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    path = f"{SESSIONS}/{(await a_session(alice))['id']}/messages"
    for role in ("user", "assistant"):
        await alice.http.post(path, json={"role": role, "content": "Hello"})
    conversation = (await alice.http.post("/v1/conversations", json={})).json()["id"]
    items = f"/v1/conversations/{conversation}/items"
    mine = {"type": "message", "role": "user", "content": "Hello"}
    theirs = [
        {"type": "message", "role": "assistant", "content": "Hello"},
        {"type": "function_call", "call_id": "c", "name": "n", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "x"},
    ]
    usual = world.with_token((await minted(boss.http, alice.id))["access_token"])
    asked: list[tuple[str, str, Any, int]] = [
        ("PATCH", f"{path}/1", {"content": "Mine"}, 200),
        ("PATCH", f"{path}/2", {"content": "Mine"}, 403),
        ("POST", items, {"items": [mine]}, 200),
        *(("POST", items, {"items": [mine, item]}, 403) for item in theirs),
        *(("POST", "/v1/conversations", {"items": [item]}, 403) for item in theirs),
    ]
    for method, where, body, status in asked:
        answer = await usual.request(method, where, json=body)
        assert answer.status_code == status, (where, body, answer.text)
    messages = (await alice.http.get(path, params={"order": "asc"})).json()["items"]
    assert [one["content"] for one in messages] == ["Mine", "Hello"]
    assert len((await alice.http.get(items)).json()["data"]) == 1
    assert len((await alice.http.get("/v1/conversations")).json()["data"]) == 2


async def test_a_token_minted_by_a_key_ends_with_it(world: World) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    soon = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    backend = await a_backend(world, boss, "tokens", expires_at=soon)
    token = await minted(backend.http, alice.id)
    assert datetime.fromisoformat(token["expires_at"]) == datetime.fromisoformat(soon)
    by_boss = world.with_token((await minted(boss.http, alice.id))["access_token"])
    device = world.with_token(token["access_token"])
    assert (await device.get(SESSIONS)).status_code == 200
    assert (await boss.http.delete(f"/v1/api-keys/{backend.id}")).status_code == 204
    assert (await device.get(SESSIONS)).status_code == 401
    assert (await by_boss.get(SESSIONS)).status_code == 200


async def test_only_whom_one_administers_gets_a_token(world: World) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    root, stranger = await world.admin(), await world.tenant_admin("globex")
    path = f"/v1/users/{alice.id}/tokens"
    body = {"expires_in": 60}
    assert (await alice.http.post(path, json=body)).status_code == 403
    assert (await stranger.http.post(path, json=body)).status_code == 404
    assert (await stranger.http.delete(path)).status_code == 404
    assert (await boss.http.post(f"/v1/users/{root.id}/tokens", json=body)).status_code == 404
    assert (await boss.http.post(f"/v1/users/{uuid4()}/tokens", json=body)).status_code == 404
    assert (await root.http.post(path, json=body)).status_code == 201
    assert (await boss.http.post(f"/v1/users/{alice.id}/block")).is_success
    assert (await boss.http.post(path, json=body)).status_code == 403


async def test_ones_tokens_are_listed_in_pages_and_ended_one_by_one(world: World) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    device = world.with_token((await minted(boss.http, alice.id))["access_token"])
    phone = world.with_token(await world.log_in(alice.username))
    listed = [one async for one in items(alice.http, TOKENS)]
    assert [one["kind"] for one in listed] == ["login", "minted", "login"]  # newest first
    assert [one["is_current"] for one in listed] == [False, False, True]
    fields = ["id", "created_at", "last_used_at", "expires_at", "kind", "is_current"]
    assert all(list(one) == fields for one in listed)
    bob = await world.member()
    assert (await bob.http.delete(f"{TOKENS}/{listed[0]['id']}")).status_code == 404
    assert (await alice.http.delete(f"{TOKENS}/{listed[0]['id']}")).status_code == 204
    assert (await alice.http.delete(f"{TOKENS}/{listed[0]['id']}")).status_code == 404
    answers = [(await one.get(SESSIONS)).status_code for one in (alice.http, device, phone)]
    assert answers == [200, 200, 401]


async def test_a_backend_lists_and_ends_the_tokens_of_whom_it_acts_for(world: World) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    backend = await a_backend(world, boss, "tokens")
    acting = backend.acting_for(alice.id)
    [own] = (await acting.get(TOKENS)).json()["items"]
    assert (own["kind"], own["is_current"]) == ("login", False)
    assert (await acting.delete(f"{TOKENS}/{own['id']}")).status_code == 204
    assert (await alice.http.get("/v1/me")).status_code == 401
    again = world.with_token(await world.log_in(alice.username))
    assert (await backend.http.delete(f"/v1/users/{alice.id}/tokens")).status_code == 204
    assert (await again.get("/v1/me")).status_code == 401


async def test_a_user_has_a_hundred_tokens_and_the_oldest_goes(
    world: World, servers: Servers, database: str
) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    for _ in range(9):
        await asyncio.gather(*(minted(boss.http, alice.id) for _ in range(11)))
    assert (await alice.http.get("/v1/me")).status_code == 200
    first = await minted(boss.http, alice.id)
    assert (await alice.http.get("/v1/me")).status_code == 401  # its token was the oldest
    device = world.with_token(first["access_token"])
    assert (await device.get("/v1/me")).status_code == 200
    async with superuser(servers.user.url(database)) as sql:
        count = "SELECT count(*) FROM access_tokens WHERE user_id = $1"
        assert await sql.fetchval(count, alice.id) == 100


async def test_administrators_who_mint_for_each_other_never_deadlock(
    world: World, servers: Servers, database: str
) -> None:
    """Each holds the other, and looks at themselves last: they must queue before that."""
    one, two = await world.tenant_admin(), await world.tenant_admin()
    for turn in range(20):
        change = {"email": f"turn-{turn}@example.org"}
        changing = two.http.patch(f"/v1/users/{one.id}", json=change)
        await asyncio.gather(minted(one.http, two.id), changing)
    async with superuser(servers.user.url(database)) as sql:
        deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        assert await sql.fetchval(deadlocks) == 0
