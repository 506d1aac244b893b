"""Holds over HTTP and from the command line's services: who places them, what they keep."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from app.bridge.holds.relay import HoldRelay
from app.http.errors import Conflict
from tests.support.conversation import a_conversation
from tests.support.erasure_scene import Scene
from tests.support.factories import PASSWORD, Someone, World

WHY = {"reason": "litigation 2026-114"}


def hold_of(someone: Someone) -> str:
    return f"/v1/users/{someone.id}/hold"


async def placed(by: Someone, on: Someone, **body: Any) -> dict[str, Any]:
    answer = await by.http.put(hold_of(on), json=WHY | body)
    assert answer.status_code == 202, answer.text
    hold: dict[str, Any] = answer.json()
    return hold


async def test_a_hold_is_placed_read_comes_into_force_and_is_lifted(
    world: World, scene: Scene
) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    chat = await a_conversation(alice, "a")
    assert (await boss.http.get(hold_of(alice))).status_code == 404
    answer = await boss.http.put(hold_of(alice), json=WHY)
    assert (answer.status_code, answer.headers["location"]) == (202, hold_of(alice))
    hold = answer.json()
    at = hold.pop("placed_at")
    assert at.endswith("Z")
    expected = {"user_id": str(alice.id), "tenant_id": str(alice.tenant_id)}
    expected |= WHY | {"placed_by": str(boss.id), "in_force_since": None}  # type: ignore[dict-item]  # no value yet
    assert hold == expected
    assert (await chat.edit(1, content="b")).status_code == 200  # not in force yet
    assert await HoldRelay(scene.databases).run_once() == 1
    in_force = (await boss.http.get(hold_of(alice))).json()
    assert in_force["in_force_since"] >= at
    assert (await chat.edit(1, content="c")).status_code == 409
    assert (await boss.http.delete(hold_of(alice))).status_code == 204
    assert (await boss.http.delete(hold_of(alice))).status_code == 404
    assert (await boss.http.get(hold_of(alice))).status_code == 404
    assert (await chat.edit(1, content="c")).status_code == 409  # not lifted there yet
    assert await HoldRelay(scene.databases).run_once() == 1
    assert (await chat.edit(1, content="d")).status_code == 200


async def test_sent_again_it_changes_the_reason_alone(world: World, scene: Scene) -> None:
    boss, root, alice = await world.tenant_admin(), await world.admin(), await world.member()
    await placed(boss, alice)
    await HoldRelay(scene.databases).run_once()
    first = (await boss.http.get(hold_of(alice))).json()
    assert await placed(root, alice) == first
    assert await placed(root, alice, reason="another file") == first | {"reason": "another file"}
    assert await HoldRelay(scene.databases).run_once() == 0


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "x" * 1001}, {"reason": None}])
async def test_a_hold_needs_a_reason(world: World, body: dict[str, Any]) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    assert (await boss.http.put(hold_of(alice), json=body)).status_code == 422


async def test_no_deletion_gets_past_a_hold(world: World) -> None:
    """It need not be in force for that: the account is in the same database."""
    boss, root, alice = await world.tenant_admin(), await world.admin(), await world.member()
    await placed(boss, alice)
    user, tenant = f"/v1/users/{alice.id}", f"/v1/tenants/{alice.tenant_id}"
    erase = alice.http.post("/v1/me/erasure", json={"current_password": PASSWORD})
    for answer in (await boss.http.delete(user), await root.http.delete(tenant), await erase):
        _names_the_hold(answer, alice)
    with pytest.raises(Conflict, match="legal hold"):
        await world.operators.delete_user(alice.username)
    with pytest.raises(Conflict, match="legal hold"):
        await world.operators.delete_tenant("acme")
    assert (await boss.http.get(user)).status_code == 200
    assert (await boss.http.delete(hold_of(alice))).status_code == 204
    assert (await boss.http.delete(user)).status_code == 202


def _names_the_hold(answer: httpx.Response, on: Someone) -> None:
    assert answer.status_code == 409, answer.text
    assert hold_of(on) in answer.json()["detail"]


@pytest.mark.parametrize("statement", ["users WHERE id = $1", "tenants WHERE id = $2"])
async def test_psql_does_not_get_past_it_either(world: World, scene: Scene, statement: str) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    await placed(boss, alice)
    deletion = f"DELETE FROM {statement} AND $1 <> $2"
    with pytest.raises(Exception, match="fk_holds_user_id_users"):
        await scene.user.execute(deletion, alice.id, alice.tenant_id)
    await scene.user.execute("ALTER TABLE holds DROP CONSTRAINT fk_holds_user_id_users")
    assert await scene.user.execute(deletion, alice.id, alice.tenant_id) == "DELETE 1"


async def test_who_may_place_and_lift(world: World) -> None:
    """The tables of callers try the rest: keys, minted tokens, members, other tenants."""
    boss, root, alice = await world.tenant_admin(), await world.admin(), await world.member()
    away = await world.tenant_admin("globex")
    for method in ("PUT", "GET", "DELETE"):
        body = WHY if method == "PUT" else None
        for who, status in ((away, 404), (alice, 403)):
            answer = await who.http.request(method, hold_of(alice), json=body)
            assert answer.status_code == status, (method, answer.text)
    await placed(root, alice)
    assert (await root.http.delete(hold_of(alice))).status_code == 204
    await placed(boss, boss)
    assert (await boss.http.delete(hold_of(boss))).status_code == 204


async def test_the_audit_tells_who_and_why(world: World) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    await placed(boss, alice)
    await placed(boss, alice)
    await placed(boss, alice, reason="another file")
    await boss.http.delete(hold_of(alice))
    page = await boss.http.get("/v1/audit-events", params={"target": str(alice.id)})
    events = [one for one in page.json()["items"] if one["action"].startswith("hold.")]
    told = [(one["action"], one["actor"]["id"], one["reason"]) for one in events[::-1]]
    assert told == [
        ("hold.placed", str(boss.id), WHY["reason"]),
        ("hold.changed", str(boss.id), "another file"),
        ("hold.lifted", str(boss.id), "another file"),
    ]
    others = [one for one in page.json()["items"] if one not in events]
    assert others
    assert not any("reason" in one for one in others)
    root = await world.admin()
    everywhere = await root.http.get("/v1/audit-events", params={"action": "hold.lifted"})
    assert everywhere.json()["items"][0]["reason"] == "another file"


async def test_the_reason_is_in_the_user_database_alone(world: World, scene: Scene) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    await a_conversation(alice, "a")
    await placed(boss, alice, reason="a-reason-of-its-own")
    await HoldRelay(scene.databases).run_once()
    tables = await scene.general.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    )
    for (table,) in tables:
        rows = await scene.general.fetch(f"SELECT t::text FROM {table} t")
        assert not any("a-reason-of-its-own" in row[0] for row in rows)


async def test_an_export_has_the_hold(world: World) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    exports = (alice.http, "/v1/me/export"), (boss.http, f"/v1/users/{alice.id}/export")
    assert [(await http.get(path)).text.count('"type":"hold"') for http, path in exports] == [0, 0]
    hold = await placed(boss, alice)
    for http, path in exports:
        last = (await http.get(path)).text.splitlines()[-1]
        assert json.loads(last) == {"type": "hold"} | hold
    assert "hold.placed" in (await alice.http.get("/v1/me/export")).text
