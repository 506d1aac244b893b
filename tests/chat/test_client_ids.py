"""A client's own id of a message: sent again, it is not stored twice."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from tests.support.factories import Someone, World, a_session

LONG = "12345678901234567890123"


class Conversation:
    """Somebody's, to which they post messages with ids of their own."""

    def __init__(self, someone: Someone, session_id: str) -> None:
        self.http = someone.http
        self.session = f"/v1/chat-sessions/{session_id}"
        self.url = f"{self.session}/messages"

    async def post(self, client_id: str, content: Any = "Hello", **more: Any) -> httpx.Response:
        headers = more.pop("headers", {})
        body = {"role": "user", "content": content, "client_id": client_id, **more}
        return await self.http.post(self.url, json=body, headers=headers)

    async def batch(self, *messages: tuple[str | None, str], **headers: str) -> httpx.Response:
        body = [{"role": "user", "content": c, "client_id": i} for i, c in messages]
        return await self.http.post(f"{self.url}/batch", json={"messages": body}, headers=headers)

    async def contents(self) -> list[str]:
        page = await self.http.get(self.url, params={"order": "asc"})
        return [one["content"] for one in page.json()["items"]]

    async def etag(self) -> str:
        return (await self.http.get(self.url)).headers["etag"]


async def a_conversation(world: World) -> Conversation:
    someone = await world.member()
    return Conversation(someone, (await a_session(someone))["id"])


async def test_a_message_sent_again_is_the_one_that_is_there(world: World) -> None:
    """However it is written, and whatever became of it; another message under its id is not."""
    it = await a_conversation(world)
    first = await it.post("a", metadata={"x": "y", "z": ""})
    assert first.status_code == 201
    assert first.json()["client_id"] == "a"
    again = await it.post("a", metadata={"z": "", "x": "y"}, status="completed")
    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["etag"] == first.headers["etag"] == await it.etag()
    edited = await it.http.patch(f"{it.url}/1", json={"content": "Edited", "status": "incomplete"})
    late = await it.post("a", metadata={"x": "y", "z": ""})
    assert (late.status_code, late.json()) == (200, edited.json())
    assert late.headers["etag"] == edited.headers["etag"]
    for other in (
        await it.post("a", "Edited"),
        await it.post("a", metadata={"x": "y"}),
        await it.post("a", metadata={"x": "y", "z": ""}, role="assistant"),
        await it.post("a", metadata={"x": "y", "z": ""}, status="incomplete"),
    ):
        assert other.status_code == 409, other.text
    assert await it.contents() == ["Edited"]
    elsewhere = await a_conversation(world)
    assert (await elsewhere.post("a", "Another's")).status_code == 201


async def test_messages_that_differ_in_a_long_numbers_last_digit_differ(world: World) -> None:
    it = await a_conversation(world)

    async def said(number: str) -> int:
        body = f'{{"role":"tool","client_id":"n","content":[{{"type":"n","of":{number}}}]}}'
        headers = {"content-type": "application/json"}
        return (await it.http.post(it.url, content=body, headers=headers)).status_code

    assert [await said(one) for one in (f"{LONG}1", f" {LONG}1", f"{LONG}2")] == [201, 200, 409]


async def test_fifty_equal_appends_at_once_make_one_message(world: World) -> None:
    it = await a_conversation(world)
    answers = await asyncio.gather(*(it.post("once") for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
    assert len({answer.text for answer in answers}) == 1
    assert await it.contents() == ["Hello"]


async def test_a_batch_stores_what_is_missing(world: World) -> None:
    it = await a_conversation(world)
    assert (await it.batch(("a", "1"), ("b", "2"))).status_code == 201
    mixed = await it.batch(("c", "3"), ("b", "2"), (None, "4"), ("a", "1"), ("d", "5"))
    assert mixed.status_code == 201
    items = mixed.json()["items"]
    assert [one["content"] for one in items] == ["3", "2", "4", "1", "5"]
    assert [one["position"] for one in items] == [3, 2, 4, 1, 5]
    assert await it.contents() == ["1", "2", "3", "4", "5"]
    tag = await it.etag()
    known = await it.batch(("d", "5"), ("a", "1"))
    assert (known.status_code, known.headers["etag"]) == (200, tag)
    differs = await it.batch(("e", "6"), ("a", "other"))
    assert differs.status_code == 409
    twice = await it.batch(("f", "7"), ("g", "8"), ("f", "7"))
    assert twice.status_code == 422
    assert [one["path"] for one in twice.json()["errors"]] == ["messages[2].client_id"]
    assert (await it.contents(), await it.etag()) == (["1", "2", "3", "4", "5"], tag)


async def test_what_decides_first(world: World) -> None:
    """A lost reply that is sent again is no 412: the key decides, then the id, then the state."""
    it = await a_conversation(world)
    seen = {"If-Match": await it.etag()}
    keyed = seen | {"Idempotency-Key": "k"}
    first = await it.post("a", headers=keyed)
    assert first.status_code == 201
    assert (await it.post("a", headers=keyed)).content == first.content
    assert (await it.post("a", headers=keyed)).status_code == 201
    assert (await it.post("b", headers=keyed)).status_code == 422  # another request
    assert (await it.post("a", headers=seen)).status_code == 200
    assert (await it.post("a", "other", headers=seen)).status_code == 409
    refused = await it.post("b", headers=seen)
    assert (refused.status_code, refused.headers["etag"]) == (412, await it.etag())
    batch = await it.batch(("a", "Hello"), ("b", "new"), **seen)
    assert (batch.status_code, batch.headers["etag"]) == (412, await it.etag())
    assert (await it.batch(("a", "Hello"), **seen)).status_code == 200
    assert await it.contents() == ["Hello"]


async def test_an_id_is_printable_and_no_path(world: World) -> None:
    it = await a_conversation(world)
    for bad in ("", ".", "..", "a b", "ä", "a\n", "x" * 256):
        assert (await it.post(bad)).status_code == 422, bad
    for good in ("...", ".a", "!", "a/b%", "x" * 255):
        assert (await it.post(good)).status_code == 201, good
