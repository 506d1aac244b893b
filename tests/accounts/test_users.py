"""Tenants and users over HTTP, as the contract has them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from tests.support.factories import PASSWORD, Someone, World


async def test_a_tenant_is_created_read_listed_and_deleted(world: World) -> None:
    root = await world.admin()
    created = await root.http.post("/v1/tenants", json={"name": "fresh-1"})
    assert created.status_code == 201
    tenant = created.json()
    assert set(tenant) == {"id", "name", "retention_days", "created_at"}
    assert UUID(tenant["id"]).version == 7
    read = await root.http.get(f"/v1/tenants/{tenant['id']}")
    assert (read.status_code, read.json()) == (200, tenant)
    page = (await root.http.get("/v1/tenants")).json()
    assert tenant in page["items"]
    deleted = await root.http.delete(f"/v1/tenants/{tenant['id']}")
    assert deleted.status_code == 202
    assert deleted.headers["location"] == f"/v1/erasures?tenant_id={tenant['id']}"
    assert (await root.http.get(f"/v1/tenants/{tenant['id']}")).status_code == 404


@pytest.mark.parametrize("name", ["", "Upper", "with space", "a" * 64, "back\\slash", "nl\n"])
async def test_a_tenants_name_is_checked(world: World, name: str) -> None:
    root = await world.admin()
    response = await root.http.post("/v1/tenants", json={"name": name})
    assert response.status_code == 422
    assert response.json()["errors"][0]["path"] == "name"


async def test_two_tenants_cannot_share_a_name(world: World) -> None:
    root = await world.admin()
    answers = [await root.http.post("/v1/tenants", json={"name": "one"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 409]
    assert "idx_" not in answers[1].text


async def test_a_user_is_created_in_ones_own_tenant(world: World) -> None:
    boss = await world.tenant_admin()
    user = await _create(boss, username="alice", email="Alice@Example.org")
    assert user["username"] == "\\acme\\alice"
    assert user["tenant_id"] == str(boss.tenant_id)
    assert (user["roles"], user["is_active"], user["is_blocked"]) == (["member"], True, False)
    assert UUID(user["id"]).version == 7
    assert user["created_at"].endswith("Z")
    datetime.fromisoformat(user["created_at"])
    fields = (
        "id tenant_id username email external_id roles is_active is_blocked created_at updated_at"
    )
    assert " ".join(user) == fields
    assert (await boss.http.get(f"/v1/users/{user['id']}")).json() == user
    full = await _create(boss, username="\\acme\\bob", email="bob@example.org")
    assert full["username"] == "\\acme\\bob"


async def test_an_administrator_of_the_platform_creates_users_anywhere(world: World) -> None:
    root = await world.admin()
    tenant = (await root.http.post("/v1/tenants", json={"name": "globex"})).json()
    by_id = await _create(root, username="a", email="a@example.org", tenant_id=tenant["id"])
    by_name = await _create(root, username="\\globex\\b", email="b@example.org")
    own = await _create(root, username="c", email="c@example.org", roles=["admin"])
    assert by_id["username"] == "\\globex\\a"
    assert by_name["tenant_id"] == tenant["id"]
    assert own["username"] == "\\platform\\c"
    mismatch = await root.http.post(
        "/v1/users",
        json=_new(username="\\acme\\d", email="d@example.org", tenant_id=tenant["id"]),
    )
    assert mismatch.status_code == 409


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", "white space"),
        ("username", "\\a\\b\\c"),
        ("username", "a" * 65),
        ("username", "." * 65),
        ("username", "."),
        ("username", ".."),
        ("username", "\\acme\\-"),
        ("email", "nobody"),
        ("email", "two@at@example.org"),
        ("email", "new@line.org\n"),
        ("email", "a" * 250 + "@example.org"),
        ("password", "too short"),
        ("roles", ["king"]),
        ("roles", []),
        ("tenant_id", "7"),
        ("unknown", 1),
    ],
)
async def test_a_new_user_is_checked(world: World, field: str, value: Any) -> None:
    boss = await world.tenant_admin()
    good = _new(username="carol", email="carol@example.org")
    response = await boss.http.post("/v1/users", json=good | {field: value})
    assert response.status_code == 422, response.text
    assert response.json()["errors"][0]["path"].startswith(field)


async def test_a_username_may_begin_with_any_of_its_signs(world: World) -> None:
    boss = await world.tenant_admin()
    names = (
        "_",
        "--",
        "...",
        ".a",
        ".-",
        "-.",
        "..a",
        "." * 64,
        "-" * 64,
        "a" * 64,
        "." + "a" * 63,
    )
    for number, name in enumerate(names):
        user = await _create(boss, username=name, email=f"{number}@example.org")
        assert user["username"] == f"\\acme\\{name}"


async def test_usernames_and_addresses_are_unique(world: World) -> None:
    boss = await world.tenant_admin()
    await _create(boss, username="alice", email="alice@example.org")
    for again in (
        _new(username="alice", email="other@example.org"),
        _new(username="other", email="ALICE@example.ORG"),
    ):
        response = await boss.http.post("/v1/users", json=again)
        assert response.status_code == 409
        assert "idx_" not in response.text


async def test_users_are_paged_by_key(world: World) -> None:
    boss = await world.tenant_admin()
    for number in range(5):
        await _create(boss, username=f"u{number}", email=f"u{number}@example.org")
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = (await boss.http.get("/v1/users", params=query)).json()
        assert len(page["items"]) <= 2
        seen += [user["id"] for user in page["items"]]
        if page["next"] is None:
            break
        query["after"] = page["next"]
    assert len(seen) == len(set(seen)) == 6
    assert seen == sorted(seen)
    for bad in ({"limit": 0}, {"limit": 101}, {"limit": "x"}, {"after": "nonsense"}):
        response = await boss.http.get("/v1/users", params=bad)
        assert response.status_code == 422, bad


async def test_a_user_is_changed(world: World) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    url = f"/v1/users/{alice.id}"
    changed = await boss.http.patch(
        url, json={"email": "new@example.org", "roles": ["member", "tenant_admin"]}
    )
    assert changed.status_code == 200
    assert changed.json()["email"] == "new@example.org"
    assert changed.json()["roles"] == ["member", "tenant_admin"]
    assert changed.json()["updated_at"] > changed.json()["created_at"]
    assert (await boss.http.patch(url, json={"username": "x"})).status_code == 422
    inactive = await boss.http.patch(url, json={"is_active": False})
    assert inactive.json()["is_active"] is False
    assert (await alice.http.get("/v1/me")).status_code == 401


async def test_a_blocked_user_is_out_and_may_come_back(world: World) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    blocked = await boss.http.post(f"/v1/users/{alice.id}/block", json={"reason": "spam"})
    assert (blocked.status_code, blocked.json()["is_blocked"]) == (200, True)
    assert (await alice.http.get("/v1/me")).status_code == 401
    again = await boss.http.post(f"/v1/users/{alice.id}/block")
    assert again.status_code == 200
    unblocked = await boss.http.post(f"/v1/users/{alice.id}/unblock")
    assert (unblocked.status_code, unblocked.json()["is_blocked"]) == (200, False)
    assert (await alice.http.get("/v1/me")).status_code == 401  # the old token stays dead
    await world.log_in(alice.username)


async def test_a_deleted_user_is_gone_and_their_erasure_is_under_way(world: World) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    deleted = await boss.http.delete(f"/v1/users/{alice.id}")
    assert deleted.status_code == 202
    assert deleted.headers["location"] == f"/v1/erasures/{alice.id}"
    assert deleted.json()["user_id"] == str(alice.id)
    assert deleted.json()["state"] in ("pending", "complete")
    assert (await alice.http.get("/v1/me")).status_code == 401
    assert (await boss.http.get(f"/v1/users/{alice.id}")).status_code == 404
    assert (await boss.http.delete(f"/v1/users/{alice.id}")).status_code == 404


async def test_a_user_erases_themselves_with_their_password(world: World) -> None:
    alice = await world.member()
    wrong = await alice.http.post("/v1/me/erasure", json={"current_password": "not it"})
    assert wrong.status_code == 403
    erased = await alice.http.post("/v1/me/erasure", json={"current_password": PASSWORD})
    assert erased.status_code == 202
    assert erased.headers["location"] == f"/v1/erasures/{alice.id}"
    assert (await alice.http.get("/v1/me")).status_code == 401


async def test_a_new_password_ends_the_other_tokens(world: World) -> None:
    alice = await world.member()
    elsewhere = world.with_token(await world.log_in(alice.username))
    new = "seven herons over the estuary"
    body = {"current_password": PASSWORD, "new_password": new}
    assert (await alice.http.put("/v1/me/password", json=body)).status_code == 204
    assert (await alice.http.get("/v1/me")).status_code == 200
    assert (await elsewhere.get("/v1/me")).status_code == 401
    assert (await alice.http.put("/v1/me/password", json=body)).status_code == 403
    await world.log_in(alice.username, new)


async def test_logout_ends_this_token_only(world: World) -> None:
    alice = await world.member()
    elsewhere = world.with_token(await world.log_in(alice.username))
    assert (await alice.http.post("/v1/auth/logout")).status_code == 204
    assert (await alice.http.get("/v1/me")).status_code == 401
    me = await elsewhere.get("/v1/me")
    assert (me.status_code, me.json()["username"]) == (200, alice.username)


def _new(**fields: Any) -> dict[str, Any]:
    return {"password": PASSWORD, **fields}


async def _create(by: Someone, **fields: Any) -> dict[str, Any]:
    response = await by.http.post("/v1/users", json=_new(**fields))
    assert response.status_code == 201, response.text
    user: dict[str, Any] = response.json()
    return user
