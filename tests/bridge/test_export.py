"""Export: complete, in order, and in constant memory."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from app.http.security import Role
from tests.support.factories import Someone, World, a_message, a_session
from tests.support.logins import try_login
from tests.support.servers import Servers, run

MANY = """
INSERT INTO chat_sessions (tenant_id, id, user_id)
SELECT '{tenant}', gen_random_uuid(), '{user}' FROM generate_series(1, 1500);
INSERT INTO messages (tenant_id, id, session_id, position, role, content)
SELECT '{tenant}', gen_random_uuid(), s.id, n, 'user', 'text'
FROM chat_sessions s, generate_series(1, 3) AS n;
"""


async def test_an_export_holds_everything_and_nobody_elses(world: World) -> None:
    alice, mallory = await world.member(), await world.member()
    first, second = await a_session(alice, "first"), await a_session(alice, "second")
    for number in range(3):
        await a_message(alice, first["id"], f"first {number}")
        await a_message(alice, second["id"], f"second {number}")
    await a_message(mallory, (await a_session(mallory, "other"))["id"], "not hers")

    lines = await _export(alice, "/v1/me/export")
    assert [line["type"] for line in lines] == (
        ["user"] + ["audit_event"] * 2 + ["chat_session"] * 2 + ["message"] * 6 + ["login_address"]
    )
    assert lines[0]["username"] == alice.username
    assert "password_hash" not in lines[0]
    assert [line["title"] for line in lines[3:5]] == ["first", "second"]
    texts = [line["content"] for line in lines[5:-1]]
    assert texts == [f"{title} {n}" for title in ("first", "second") for n in range(3)]


async def test_an_export_shows_a_message_as_the_api_does(world: World) -> None:
    """PostgreSQL writes the line, msgspec the answer."""
    alice = await world.member()
    session = await a_session(alice)
    for content in ('Ærlig "talt" \\ / \n\r\t\b\f\x01\x1f\x7f \u2028 🌍', "{}", " "):
        await a_message(alice, session["id"], content)
    page = await alice.http.get(f"/v1/chat-sessions/{session['id']}/messages?order=asc")
    of_items = {"item_id": None, "item_members": None, "is_item": False}
    written = [{"type": "message", **item, **of_items} for item in page.json()["items"]]
    assert (await _export(alice, "/v1/me/export"))[4:-1] == written


async def test_an_export_tells_when_and_from_how_many_addresses_they_logged_in(
    world: World,
) -> None:
    alice, mallory = await world.member(), await world.member()
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1"):
        assert (await try_login(world, alice.username, at=address)).status_code == 200
    assert (await try_login(world, mallory.username, at="192.0.2.3")).status_code == 200
    lines = await _export(alice, "/v1/me/export")
    addresses = [line for line in lines if line["type"] == "login_address"]
    assert len({line["address"] for line in addresses}) == len(addresses) == 3
    times = [datetime.fromisoformat(line["last_login_at"]) for line in addresses]
    assert times == sorted(times)
    assert "192.0.2" not in str(lines)


async def test_an_administrator_exports_their_own_tenants_users_only(world: World) -> None:
    alice, boss = await world.member(), await world.tenant_admin()
    stranger, root = await world.tenant_admin("other"), await world.admin()
    url = f"/v1/users/{alice.id}/export"
    for someone in (boss, root):
        assert (await _export(someone, url))[0]["id"] == str(alice.id)
    assert (await stranger.http.get(url)).status_code == 404
    assert (await alice.http.get(url)).status_code == 403


async def test_nobody_exports_what_somebody_above_them_said(world: World) -> None:
    """A tenant_admin of `platform` administers those in it who are no administrators of all."""
    root = await world.admin()
    boss = await world.someone("\\platform\\boss", Role.TENANT_ADMIN)
    member = await world.someone("\\platform\\member")
    answer = await boss.http.get(f"/v1/users/{root.id}/export")
    assert (answer.status_code, answer.json()["detail"]) == (
        403,
        "Only a platform administrator has power over another one.",
    )
    change = await boss.http.patch(f"/v1/users/{root.id}", json={"is_active": True})
    assert change.status_code == 403
    for someone, subject in ((boss, member), (boss, boss), (root, boss), (root, root)):
        assert await _export(someone, f"/v1/users/{subject.id}/export")


async def test_pages_of_an_export_meet_without_gap_or_overlap(
    world: World, servers: Servers, database: str
) -> None:
    """There are more sessions and messages than a page holds."""
    alice = await world.member()
    await run(servers.general, MANY.format(tenant=alice.tenant_id, user=alice.id), database)
    lines = await _export(alice, "/v1/me/export")
    sessions = [line["id"] for line in lines if line["type"] == "chat_session"]
    messages = [line["id"] for line in lines if line["type"] == "message"]
    assert len(sessions) == len(set(sessions)) == 1500
    assert len(messages) == len(set(messages)) == 4500


async def _export(someone: Someone, url: str) -> list[dict[str, Any]]:
    response = await someone.http.get(url)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.removesuffix("\n").split("\n")]
