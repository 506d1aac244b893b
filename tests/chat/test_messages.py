"""Messages over HTTP: order, batches, paging in both directions."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.factories import Someone, World, a_message, a_session


async def test_a_message_comes_back_as_it_was_written(world: World) -> None:
    alice = await world.member()
    session = await a_session(alice, "Norway")
    text = 'Ærlig "talt" \\ \n\t 🌍'
    message = await a_message(alice, session["id"], text)
    assert message["content"] == text
    assert message["position"] == 1
    assert message["session_id"] == session["id"]
    assert message["created_at"].endswith("Z")
    assert (await _page(alice, session["id"]))["items"] == [message]
    read = (await alice.http.get(f"/v1/chat-sessions/{session['id']}")).json()
    assert (read["title"], read["message_count"]) == ("Norway", 1)


async def test_positions_are_gapless_under_many_writers(world: World) -> None:
    """Twelve writers, single messages and batches mixed: every position exactly once."""
    alice = await world.member()
    session = await a_session(alice)

    async def write(writer: int) -> None:
        for number in range(5):
            await a_message(alice, session["id"], f"{writer}-{number}")
            await _batch(alice, session["id"], [f"{writer}-{number}-{i}" for i in range(40)])

    await asyncio.gather(*(write(writer) for writer in range(12)))
    contents = await _walk(alice, session["id"], "asc")
    assert [m["position"] for m in contents] == list(range(1, 12 * 5 * 41 + 1))
    newest_first = await _walk(alice, session["id"], "desc")
    assert newest_first == contents[::-1]


async def test_a_batch_keeps_its_order_and_is_all_or_none(world: World) -> None:
    alice = await world.member()
    session = await a_session(alice)
    stored = await _batch(alice, session["id"], [str(n) for n in range(1000)])
    assert [m["content"] for m in stored["items"]] == [str(n) for n in range(1000)]
    url = f"/v1/chat-sessions/{session['id']}/messages/batch"
    bad = {"messages": [{"role": "user", "content": "good"}, {"role": "robot", "content": "bad"}]}
    response = await alice.http.post(url, json=bad)
    assert response.status_code == 422
    assert response.json()["errors"][0]["path"] == "messages[1].role"
    for count in (0, 1001):
        too = {"messages": [{"role": "user", "content": "x"}] * count}
        assert (await alice.http.post(url, json=too)).status_code == 422
    assert len(await _walk(alice, session["id"], "asc")) == 1000


async def _batch(someone: Someone, session_id: str, contents: list[str]) -> dict[str, Any]:
    response = await someone.http.post(
        f"/v1/chat-sessions/{session_id}/messages/batch",
        json={"messages": [{"role": "user", "content": content} for content in contents]},
    )
    assert response.status_code == 201, response.text
    stored: dict[str, Any] = response.json()
    return stored


async def _page(someone: Someone, session_id: str, **query: Any) -> dict[str, Any]:
    response = await someone.http.get(f"/v1/chat-sessions/{session_id}/messages", params=query)
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    return page


async def _walk(someone: Someone, session_id: str, order: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    query: dict[str, Any] = {"order": order, "limit": 100}
    while True:
        page = await _page(someone, session_id, **query)
        found += page["items"]
        if page["next"] is None:
            return found
        query["after"] = page["next"]
