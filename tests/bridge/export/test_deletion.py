"""Whoever is deleted while an operator exports them is whole in the file, and erased meanwhile."""

from __future__ import annotations

import asyncio

from app.bridge.erasure.relay import Relay
from app.bridge.export.full import FullExport
from app.bridge.export.people import everybody
from app.bridge.sealing.seals import Seals
from app.config.settings import Settings
from tests.support.factories import World, a_message, a_session
from tests.support.importing import imported, objects

MESSAGES = 500  # more than are read at once


async def test_an_export_under_way_holds_up_no_erasure_and_has_no_half_of_a_person(
    world: World, settings: Settings
) -> None:
    """The file reads as it was when the person's turn came; nobody can be brought back by it."""
    alice, bob = await world.member(), await world.member()
    for someone in (alice, bob):
        session = await a_session(someone)
        batch = {"messages": [{"role": "user", "content": f"said {n}"} for n in range(MESSAGES)]}
        path = f"/v1/chat-sessions/{session['id']}/messages/batch"
        assert (await someone.http.post(path, json=batch)).status_code == 201
    await a_message(bob, session["id"])
    seals = Seals(world.databases, settings)
    await seals.check()
    export = FullExport(world.databases, seals).lines(everybody(world.databases.user))
    file = b""
    while file.count(b'"type":"message"') < MESSAGES // 2:
        file += await anext(export)
    first = objects(file)[1]
    whose = alice if first["id"] == str(alice.id) else bob
    await world.operators.delete_user(whose.username)
    async with asyncio.timeout(10):
        assert await Relay(world.databases, settings).run_once()
    erasure = await (await world.tenant_admin()).http.get(f"/v1/erasures/{whose.id}")
    said = MESSAGES + (whose is bob)
    state = {name: erasure.json()[name] for name in ("state", "chat_sessions", "messages")}
    assert state == {"state": "complete", "chat_sessions": 1, "messages": said}
    file += b"".join([line async for line in export])
    ends = [line for line in objects(file) if line["type"] == "user_end"]
    of = {line["user_id"]: line["messages"] for line in ends}
    assert (of[str(alice.id)], of[str(bob.id)]) == (MESSAGES, MESSAGES + 1)
    result = await imported(world.databases, settings, file)
    assert [one for one in result.said if "nobody who was deleted comes back" in one] == result.said
    assert (len(result.said), result.done.present) == (1, 1)
