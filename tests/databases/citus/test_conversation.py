"""A cluster answers as one server does, up to the receipt of an erasure and the comparison."""

from __future__ import annotations

from uuid import UUID

from app.bridge.erasure.relay import Relay, relay_settings
from app.config.settings import Settings
from app.databases.database import Databases
from app.databases.opening import open_connection
from tests.support.cluster import differences
from tests.support.factories import Someone, World, a_session

MESSAGE = {"role": "user", "content": "Hello"}


async def test_a_conversation_and_its_erasure(world: World, settings: Settings) -> None:
    alice, boss = await world.member(), await world.tenant_admin()
    session = (await a_session(alice, "Norway"))["id"]
    path = f"/v1/chat-sessions/{session}/messages"
    key = {"Idempotency-Key": "one"}
    first = await alice.http.post(path, json=MESSAGE, headers=key)
    assert (await alice.http.post(path, json=MESSAGE, headers=key)).content == first.content
    batch = await alice.http.post(f"{path}/batch", json={"messages": [MESSAGE] * 3})
    assert batch.status_code == 201
    assert (await alice.http.patch(f"{path}/2", json={"content": "Hi"})).status_code == 200
    assert (await alice.http.delete(f"{path}/3")).status_code == 204
    page = (await alice.http.get(path)).json()["items"]
    assert [one["position"] for one in page] == [4, 2, 1]
    await _found_only_in_a_transaction(settings, alice, session)
    stranger = await world.someone("\\other\\stranger")
    assert (await stranger.http.get(path)).status_code == 404
    assert (await boss.http.delete(f"/v1/users/{alice.id}")).status_code == 202
    relay = Databases.create(relay_settings(settings))
    erasing = Relay(relay, relay_settings(settings))
    while await erasing.run_once():  # the first plans on a worker may take a turn's time
        pass
    await relay.dispose()
    erasure = (await boss.http.get(f"/v1/erasures/{alice.id}")).json()
    assert (erasure["state"], erasure["chat_sessions"], erasure["messages"]) == ("complete", 1, 3)
    assert await differences(settings) == []


async def _found_only_in_a_transaction(settings: Settings, alice: Someone, session: str) -> None:
    connection = await open_connection(settings, "general")
    for begins_alone in (True, False):
        connection.begins_alone = begins_alone
        question = "SELECT * FROM find_session($1, $2, $3)"
        rows = await connection.fetch(question, alice.tenant_id, alice.id, UUID(session))
        assert len(rows) == begins_alone
    await connection.close()
