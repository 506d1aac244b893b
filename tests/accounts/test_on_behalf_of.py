"""On-Behalf-Of: an API key acts for a person of its tenant, in the contract's order of refusals."""

from __future__ import annotations

from uuid import uuid4

import httpx
import pytest

from tests.support.api_keys import EVERY_SCOPE, ON_BEHALF_OF, a_backend
from tests.support.factories import Someone, World, a_session

SESSIONS = "/v1/chat-sessions"


async def test_what_a_key_writes_for_a_person_is_theirs(world: World) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    backend = await a_backend(world, boss, "chat:read", "chat:write")
    acting = backend.acting_for(alice.id)
    made = await acting.post(SESSIONS, json={"title": "by the backend"})
    assert made.status_code == 201
    own = (await alice.http.get(SESSIONS)).json()["items"]
    assert [one["title"] for one in own] == ["by the backend"]
    assert (await acting.get("/v1/me")).json()["id"] == str(alice.id)
    bob = await world.member()
    path = f"{SESSIONS}/{made.json()['id']}"
    assert (await backend.acting_for(bob.id).get(path)).status_code == 404
    assert (await acting.get(path)).status_code == 200


async def test_each_scope_opens_its_routes_and_no_others(world: World) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    session = (await a_session(alice))["id"]
    routes = {
        ("GET", "/v1/me", True): {"chat:read"},
        ("GET", SESSIONS, True): {"chat:read"},
        ("GET", f"{SESSIONS}/{session}/messages", True): {"chat:read"},
        ("POST", SESSIONS, True): {"chat:write"},
        ("PATCH", f"{SESSIONS}/{session}", True): {"chat:write"},
        ("GET", "/v1/me/export", True): {"export"},
        ("GET", f"/v1/users/{alice.id}/export", False): {"export"},
        ("GET", "/v1/users", False): {"users:read"},
        ("GET", f"/v1/users/{alice.id}", False): {"users:read"},
        ("PATCH", f"/v1/users/{alice.id}", False): {"users:write"},
        ("POST", f"/v1/users/{alice.id}/unblock", False): {"users:write"},
        ("GET", "/v1/erasures", False): {"users:read", "users:erase"},
        ("GET", "/v1/me/tokens", True): {"tokens"},
        ("POST", f"/v1/users/{alice.id}/tokens", False): {"tokens"},
        ("PUT", "/v1/me/password", True): set[str](),
        ("POST", "/v1/auth/logout", True): set[str](),
        ("POST", "/v1/me/erasure", True): set[str](),
        ("GET", "/v1/tenants", False): set[str](),
        ("POST", "/v1/api-keys", False): set[str](),
        ("GET", "/v1/api-keys", False): set[str](),
    }
    bodies = {
        "PATCH": {"title": "new"},
        f"/v1/users/{alice.id}": {"is_active": True},
        f"/v1/users/{alice.id}/tokens": {"expires_in": 60},
        "/v1/me/password": {"current_password": "x", "new_password": "y" * 20},
        "/v1/me/erasure": {"current_password": "x"},
        "/v1/api-keys": {"name": "x", "scopes": ["export"]},
    }
    wrong = list[str]()
    for scope in EVERY_SCOPE:
        backend = await a_backend(world, boss, scope)
        for (method, path, is_of_person), scopes in routes.items():
            client = backend.acting_for(alice.id) if is_of_person else backend.http
            body = bodies.get(path) or bodies.get(method)
            answer = await client.request(method, path, json=body if method != "GET" else None)
            if (answer.status_code < 400) != (scope in scopes):
                wrong.append(f"{scope}: {method} {path} {answer.status_code}")
            if scope not in scopes and answer.status_code != 403:
                wrong.append(f"{scope}: {method} {path} {answer.status_code}, not 403")
    assert wrong == []


REFUSALS = {
    "nobody": (None, 400),
    "unknown": (str(uuid4()), 404),
    "malformed": ("alice", 400),
    "empty": ("", 400),
    "external unknown": ("external:nobody", 404),
    "external dot": ("external:.", 400),
    "external empty": ("external:", 400),
    "external too long": ("external:" + "a" * 256, 400),
    "external with a space": ("external:a b", 400),
    "with braces": (f"{{{uuid4()}}}", 400),
}


@pytest.mark.parametrize("kind", REFUSALS)
async def test_a_person_must_be_named_who_is_there(world: World, kind: str) -> None:
    sent, status = REFUSALS[kind]
    boss = await world.tenant_admin()
    backend = await a_backend(world, boss, "chat:read")
    headers = {} if sent is None else {ON_BEHALF_OF: sent}
    answer = await backend.http.get(SESSIONS, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_named_twice_or_on_a_route_of_nobody_is_a_bad_request(world: World) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    backend = await a_backend(world, boss, "chat:read", "users:read")
    twice = [(ON_BEHALF_OF, str(alice.id)), (ON_BEHALF_OF, str(alice.id))]
    assert (await backend.http.get(SESSIONS, headers=twice)).status_code == 400
    assert (await backend.acting_for(alice.id).get("/v1/users")).status_code == 400


async def test_a_persons_own_token_acts_for_nobody_else(world: World) -> None:
    alice, bob = await world.member(), await world.member()
    answer = await alice.http.get(SESSIONS, headers={ON_BEHALF_OF: str(bob.id)})
    assert answer.status_code == 403


@pytest.fixture
async def refused(world: World) -> dict[str, tuple[Someone, int]]:
    """Persons whom no key of the tenant acts for, and what is answered for each."""
    boss = await world.tenant_admin()
    blocked, inactive, erased = [await world.member() for _ in range(3)]
    assert (await boss.http.post(f"/v1/users/{blocked.id}/block")).is_success
    off = {"is_active": False}
    assert (await boss.http.patch(f"/v1/users/{inactive.id}", json=off)).is_success
    assert (await boss.http.delete(f"/v1/users/{erased.id}")).is_success
    foreign = await world.someone("\\globex\\foreign")
    return {
        "blocked": (blocked, 403),
        "inactive": (inactive, 403),
        "erased": (erased, 410),
        "an administrator": (boss, 403),
        "of another tenant": (foreign, 404),
    }


async def test_each_refusal_comes_in_its_order(
    world: World, refused: dict[str, tuple[Someone, int]]
) -> None:
    boss, _ = refused["an administrator"]
    able = await a_backend(world, boss, "chat:read")
    unable = await a_backend(world, boss, "export")
    ended = await a_backend(world, boss, "chat:read")
    assert (await boss.http.delete(f"/v1/api-keys/{ended.id}")).is_success

    async def statuses(client: httpx.AsyncClient) -> int:
        return (await client.get(SESSIONS)).status_code

    for kind, (person, status) in refused.items():
        assert await statuses(able.acting_for(person.id)) == status, kind
        assert await statuses(unable.acting_for(person.id)) == 403, kind  # before the person
        assert await statuses(unable.acting_for("malformed")) == 400, kind  # before the scope
        assert await statuses(ended.acting_for("malformed")) == 401, kind  # before everything


async def test_a_key_makes_and_changes_no_administrators(world: World) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    backend = await a_backend(world, boss)
    path = f"/v1/users/{alice.id}"
    for roles in (["tenant_admin"], ["admin"], ["member", "tenant_admin"]):
        assert (await backend.http.patch(path, json={"roles": roles})).status_code == 403
    for method, more in (("PATCH", ""), ("POST", "/block"), ("DELETE", ""), ("POST", "/tokens")):
        body = {"expires_in": 60} if more == "/tokens" else {} if method != "DELETE" else None
        answer = await backend.http.request(method, f"/v1/users/{boss.id}{more}", json=body)
        assert answer.status_code == 403, (method, more, answer.text)
    assert (await backend.http.get(f"/v1/users/{boss.id}/export")).status_code == 403
    assert (await backend.http.delete(path)).status_code == 202
