"""People whom a product knows by an id of its own, most of them without a password."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx

from app.accounts.tokens import new_token, token_digest
from tests.support.api_keys import a_backend, path_of
from tests.support.factories import PASSWORD, Someone, World
from tests.support.logins import superuser
from tests.support.servers import Servers

LOGIN = "/v1/auth/login"


async def put(by: Someone, external_id: str, **body: Any) -> httpx.Response:
    return await by.http.put(path_of(external_id), json=body)


async def test_put_makes_somebody_and_changes_what_is_sent(world: World) -> None:
    boss = await world.tenant_admin()
    made = await put(boss, "one")
    user = made.json()
    assert (made.status_code, UUID(user["id"]).version) == (201, 7)
    assert user["username"] == f"\\acme\\{user['id']}"
    assert (user["email"], user["external_id"], user["roles"]) == (None, "one", ["member"])
    again = await put(boss, "one")
    assert (again.status_code, again.json()) == (200, user)
    facts = {"username": "One", "email": "one@example.org", "roles": ["tenant_admin"]}
    changed = await put(boss, "one", **facts)
    assert changed.status_code == 200
    wanted = user | facts | {"username": "\\acme\\One"}
    assert {**changed.json(), "updated_at": ""} == {**wanted, "updated_at": ""}
    assert (await put(boss, "one", username="\\acme\\One")).json() == changed.json()
    bare = (await put(boss, "one", email=None)).json()
    assert (bare["email"], bare["username"], bare["roles"]) == (None, "\\acme\\One", facts["roles"])
    assert (await boss.http.get(path_of("one"))).json() == bare
    assert (await boss.http.get(f"/v1/users/{user['id']}")).json() == bare
    assert bare in (await boss.http.get("/v1/users")).json()["items"]


async def test_a_body_may_be_missing_and_is_checked(world: World) -> None:
    boss = await world.tenant_admin()
    assert (await boss.http.put(path_of("bare"))).status_code == 201
    wrong: list[dict[str, Any]] = [
        {"username": None},
        {"username": "."},
        {"email": "nobody"},
        {"roles": []},
        {"password": PASSWORD},
        {"external_id": "other"},
    ]
    for body in wrong:
        answer = await boss.http.put(path_of("checked"), json=body)
        assert answer.status_code == 422, (body, answer.text)
    assert (await boss.http.get(path_of("checked"))).status_code == 404


async def test_post_takes_an_external_id_and_then_needs_nothing_else(world: World) -> None:
    boss = await world.tenant_admin()
    made = await boss.http.post("/v1/users", json={"external_id": "posted"})
    user = made.json()
    assert (made.status_code, user["email"]) == (201, None)
    assert user["username"] == f"\\acme\\{user['id']}"
    assert (await boss.http.get(path_of("posted"))).json() == user
    taken = await boss.http.post("/v1/users", json={"external_id": "posted"})
    assert (taken.status_code, "idx_" in taken.text) == (409, False)
    without = await boss.http.post("/v1/users", json={"roles": ["member"], "username": None})
    assert without.status_code == 422
    paths = [error["path"] for error in without.json()["errors"]]
    assert paths == ["username", "email", "password"]
    facts = {"username": "full", "email": "full@example.org", "password": PASSWORD}
    assert (await boss.http.post("/v1/users", json=facts | {"external_id": "f"})).is_success
    assert await world.log_in("\\acme\\full")
    close = await boss.http.post("/v1/users", json={"external_id": PASSWORD[:8], "password": "x"})
    assert close.status_code == 422


async def test_a_retry_of_post_is_answered_again(world: World) -> None:
    boss = await world.tenant_admin()
    for body in ({"external_id": "k1"}, {"external_id": "k2", "password": PASSWORD}):
        key = {"Idempotency-Key": body["external_id"]}
        first, again = [await boss.http.post("/v1/users", json=body, headers=key) for _ in range(2)]
        assert (first.status_code, again.status_code) == (201, 201), first.text
        assert first.json() == again.json()
        password = {} if "password" in body else {"password": PASSWORD}
        turned = {"external_id": body["external_id"], **password}
        for other in (body | {"roles": ["tenant_admin"]}, turned):
            answer = await boss.http.post("/v1/users", json=other, headers=key)
            assert answer.status_code == 422, other


async def test_only_another_persons_name_or_address_is_a_conflict(world: World) -> None:
    boss = await world.tenant_admin()
    facts = {"username": "taken", "email": "taken@example.org"}
    assert (await put(boss, "ours-4713", **facts)).status_code == 201
    assert (await put(boss, "ours-4713", **facts)).status_code == 200
    assert (await put(boss, "ours-4713", username="TAKEN")).status_code == 200
    assert (await put(boss, "second")).status_code == 201
    for external_id in ("second", "third"):
        for name, value in (("username", "Taken"), ("email", "taken@EXAMPLE.org")):
            assert (await put(boss, external_id, **{name: value})).status_code == 409
    assert (await put(boss, "second", username="\\globex\\taken")).status_code == 409
    assert (await boss.http.get(path_of("third"))).status_code == 404


async def test_each_tenant_has_external_ids_of_its_own(world: World) -> None:
    acme, globex = await world.tenant_admin(), await world.tenant_admin("globex")
    root, member = await world.admin(), await world.member()
    user = (await put(acme, "same")).json()
    assert (await globex.http.get(path_of("same"))).status_code == 404
    assert (await put(globex, "same")).status_code == 201
    there = {"tenant_id": str(acme.tenant_id)}
    assert (await root.http.get(path_of("same"), params=there)).json() == user
    assert (await root.http.get(path_of("same"))).status_code == 404
    assert (await root.http.put(path_of("same"), params=there, json={})).json() == user
    assert (await root.http.put(path_of("new"), params=there, json={})).status_code == 201
    assert user in (await root.http.get("/v1/users")).json()["items"]
    for method in ("GET", "PUT"):
        answer = await globex.http.request(method, path_of("same"), params=there)
        assert answer.status_code == 404
        assert (await member.http.request(method, path_of("same"))).status_code == 403


async def test_a_key_needs_the_scope_and_touches_no_administrators(world: World) -> None:
    boss = await world.tenant_admin()
    reads, writes = [await a_backend(world, boss, f"users:{one}") for one in ("read", "write")]
    assert (await writes.http.put(path_of("p"), json={"username": "p"})).status_code == 201
    assert (await reads.http.get(path_of("p"))).status_code == 200
    assert (await reads.http.put(path_of("p"), json={})).status_code == 403
    assert (await writes.http.get(path_of("p"))).status_code == 403
    for role in ("tenant_admin", "admin"):
        for external_id in ("p", "q"):
            body = {"roles": [role]}
            assert (await writes.http.put(path_of(external_id), json=body)).status_code == 403
    assert (await put(boss, "p", roles=["tenant_admin"])).status_code == 200
    for body in ({}, {"email": None}, {"email": "p@example.org"}, {"roles": ["member"]}):
        assert (await writes.http.put(path_of("p"), json=body)).status_code == 403
    for client in (reads.acting_for("external:p"), writes.acting_for("external:q")):
        assert (await client.get(path_of("p"))).status_code == 400


async def test_the_last_administrator_stays_one(world: World) -> None:
    root = await world.admin()
    tenant = (await root.http.post("/v1/tenants", json={"name": "lonely"})).json()
    there = {"tenant_id": tenant["id"]}
    body = {"username": "boss", "email": "b@example.org", "password": PASSWORD}
    body |= {"external_id": "boss", "roles": ["tenant_admin"], **there}
    assert (await root.http.post("/v1/users", json=body)).status_code == 201
    boss = world.with_token(await world.log_in("\\lonely\\boss"))
    answer = await boss.put(path_of("boss"), json={"roles": ["member"]})
    assert answer.status_code == 409


async def test_who_has_no_password_cannot_log_in_and_confirms_nothing(
    servers: Servers, database: str, world: World
) -> None:
    boss = await world.tenant_admin()
    user = (await put(boss, "mute", username="mute")).json()
    wrong, unknown = [
        await world.nobody.post(LOGIN, json={"username": name, "password": PASSWORD})
        for name in ("\\acme\\mute", "\\acme\\nobody-there")
    ]
    assert (wrong.status_code, wrong.json()) == (401, unknown.json())
    token = new_token()  # as of a login, before the password was taken
    async with superuser(servers.user.url(database)) as sql:
        await sql.execute(
            "INSERT INTO access_tokens (digest, tenant_id, user_id, expires_at)"
            " SELECT $1, tenant_id, id, now() + interval '1 hour' FROM users WHERE id = $2",
            *(token_digest(token), UUID(user["id"])),
        )
    own = world.with_token(token)
    new = {"current_password": PASSWORD, "new_password": "another quiet corner"}
    assert (await own.put("/v1/me/password", json=new)).status_code == 409
    body = {"current_password": PASSWORD}
    assert (await own.post("/v1/me/erasure", json=body)).status_code == 409
    assert (await own.get("/v1/me")).json()["external_id"] == "mute"


async def test_each_change_is_an_audit_event_and_none_is_not(world: World) -> None:
    boss = await world.tenant_admin()
    backend = await a_backend(world, boss)
    user = (await backend.http.put(path_of("ours-4712"))).json()
    for body in ({}, {"username": user["username"]}, {"email": None}, {"roles": ["member"]}):
        assert (await backend.http.put(path_of("ours-4712"), json=body)).json() == user
    for body in ({"username": "ours-4712"}, {"email": "seen@example.org"}):
        assert (await backend.http.put(path_of("ours-4712"), json=body)).status_code == 200
    assert (await put(boss, "ours-4712", roles=["tenant_admin"])).status_code == 200
    events = (await boss.http.get(f"/v1/audit-events?target={user['id']}")).json()["items"]
    found = [(event["action"], event["actor"]["type"]) for event in reversed(events)]
    assert found == [
        ("user.created", "api_key"),
        *[("user.changed", "api_key")] * 2,
        ("roles.changed", "user"),
    ]


async def test_an_export_has_the_external_id(world: World) -> None:
    boss = await world.tenant_admin()
    backend = await a_backend(world, boss)
    user = (await backend.http.put(path_of("portable"))).json()
    for url, http in (
        (f"/v1/users/{user['id']}/export", boss.http),
        ("/v1/me/export", backend.acting_for("external:portable")),
    ):
        assert '"external_id":"portable"' in (await http.get(url)).text.splitlines()[0]
