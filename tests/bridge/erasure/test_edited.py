"""Conversations that were edited and cut off are erased like others."""

from __future__ import annotations

from app.http.idempotency import HEADER
from tests.support.conversation import a_conversation
from tests.support.erasure_scene import Scene
from tests.support.factories import World

LEFT = """
SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM chat_sessions),
       (SELECT count(*) FROM general_idempotency_keys)
"""


async def test_what_is_left_of_them_is_deleted_and_counted(world: World, scene: Scene) -> None:
    """Their positions have gaps, or begin late; answers about them were emptied."""
    boss, alice = await world.tenant_admin(), await world.member()
    gaps, short, empty = [await a_conversation(alice, *"abcdef") for _ in range(3)]
    await gaps.say("g", **{HEADER: "k"})
    for write in (gaps.edit(7, content="G"), gaps.delete(2), gaps.delete(5), empty.cut(0)):
        assert (await write).is_success
    assert (await short.cut(0)).json() == {"deleted": 6}
    assert await short.say("h", "i", "j") == [7, 8, 9]
    assert (await short.delete(8)).status_code == 204
    assert tuple(await scene.general.fetchrow(LEFT) or ()) == (7, 3, 1)
    assert (await boss.http.delete(f"/v1/users/{alice.id}")).status_code == 202
    assert await scene.relay(relay_batch_rows=2).run_once()
    (receipt,) = await scene.receipts()
    assert (receipt["chat_sessions"], receipt["messages"], receipt["remaining"]) == (3, 7, 0)
    assert tuple(await scene.general.fetchrow(LEFT) or ()) == (0, 0, 0)
