"""On-Behalf-Of: an API key acts for a person; who is refused, security/test_callers.py has."""

from __future__ import annotations

from uuid import uuid4

from app.edge.lanes import Caller
from tests.support.api_keys import ON_BEHALF_OF, a_backend
from tests.support.factories import World

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


async def test_fair_shares_count_the_person_behind_a_key(world: World) -> None:
    """One person's flood through the backend leaves room for the others whom it serves."""
    boss, alice, bob = await world.tenant_admin(), await world.member(), await world.member()
    backend = await a_backend(world, boss, "chat:read")
    for person in (alice, bob):
        assert (await backend.acting_for(person.id).get(SESSIONS)).status_code == 200
    counted = world.app.state.gate.known.values()
    assert list(counted)[-2:] == [Caller(one.id, one.tenant_id) for one in (alice, bob)]


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


async def test_a_person_must_be_named_who_is_there(world: World) -> None:
    boss = await world.tenant_admin()
    backend = await a_backend(world, boss, "chat:read")
    for kind, (sent, status) in REFUSALS.items():
        headers = {} if sent is None else {ON_BEHALF_OF: sent}
        answer = await backend.http.get(SESSIONS, headers=headers)
        assert answer.status_code == status, (kind, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_key_makes_no_administrators(world: World) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    backend = await a_backend(world, boss)
    path = f"/v1/users/{alice.id}"
    for roles in (["tenant_admin"], ["admin"], ["member", "tenant_admin"]):
        assert (await backend.http.patch(path, json={"roles": roles})).status_code == 403
