"""Messages are edited and deleted; no position is given twice."""

from __future__ import annotations

import json
from typing import Any

from tests.support.conversation import a_conversation
from tests.support.factories import World


async def test_a_message_is_read_edited_and_deleted_by_its_position(world: World) -> None:
    alice = await world.member()
    chat = await a_conversation(alice, "a", "b", "c")
    before = (await chat.get(2)).json()
    listed = (await alice.http.get(chat.messages)).json()["items"]
    assert listed[1] == before
    edited = await chat.edit(2, content="B")
    assert edited.status_code == 200, edited.text
    assert edited.json() == before | {"content": "B"} | _changed(edited.json())
    assert (await chat.get(2)).json() == edited.json()
    assert await chat.read() == {1: "a", 2: "B", 3: "c"}
    gone = await chat.delete(2)
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await chat.read(), await chat.count()) == ({1: "a", 3: "c"}, 2)
    for again in (await chat.get(2), await chat.delete(2), await chat.edit(2, content="x")):
        assert again.status_code == 404


def _changed(message: dict[str, Any]) -> dict[str, Any]:
    return {name: message[name] for name in ("updated_at",) if name in message}


async def test_a_conversation_is_cut_off_or_emptied(world: World) -> None:
    alice = await world.member()
    chat = await a_conversation(alice, *"abcdefgh")
    assert (await chat.delete(6)).status_code == 204
    answer = await chat.cut(4)
    assert (answer.status_code, answer.json()) == (200, {"deleted": 3})
    assert (await chat.read(), await chat.count()) == ({1: "a", 2: "b", 3: "c", 4: "d"}, 4)
    assert (await chat.cut(4)).json() == {"deleted": 0}
    assert (await chat.cut(2**53 - 1)).json() == {"deleted": 0}
    assert (await chat.cut(0)).json() == {"deleted": 4}
    assert (await chat.read(), await chat.count()) == ({}, 0)
    assert (await alice.http.get(chat.path)).status_code == 200


async def test_no_position_is_given_twice(world: World) -> None:
    alice = await world.member()
    chat = await a_conversation(alice, "a", "b", "c")
    assert (await chat.delete(3)).status_code == 204
    assert await chat.say("d") == [4]
    assert await chat.say("e", "f") == [5, 6]
    assert (await chat.delete(5)).status_code == 204
    assert (await chat.cut(1)).json() == {"deleted": 3}
    assert await chat.say("g", "h") == [7, 8]
    assert (await chat.cut(0)).json() == {"deleted": 3}
    single = {"role": "user", "content": "i"}
    assert (await alice.http.post(chat.messages, json=single)).json()["position"] == 9
    assert (await chat.read(), await chat.count()) == ({9: "i"}, 1)


async def test_an_edit_changes_what_it_names_alone(world: World) -> None:
    """Parts come back byte for byte, and each way of writing a content takes the other's place."""
    alice = await world.member()
    chat = await a_conversation(alice, "a")
    before = (await chat.get(1)).json()
    parts = '[{"type":"x.y", "n":12345678901234567890.10, "text":"b\\u0000", "text":"b"}]'
    for body, content in (
        (f'{{"content": {parts}}}', parts),
        ('{"metadata": {"b": "1", "a": "2"}}', parts),
        ('{"status": "in_progress"}', parts),
        ('{"content": "a\\u0000\\ud800"}', '"a\\u0000\\ud800"'),
        ('{"content": "plain", "metadata": {}, "status": "completed"}', '"plain"'),
    ):
        headers = {"Content-Type": "application/json"}
        path = f"{chat.messages}/1"
        edited = await alice.http.patch(path, content=body.encode(), headers=headers)
        assert edited.status_code == 200, edited.text
        assert f'"content":{content},' in edited.text
        assert (await chat.get(1)).text == edited.text
        page = (await alice.http.get(chat.messages)).text
        assert edited.text in page
        same = {"id", "position", "role", "client_id", "created_by", "created_at"}
        assert {name: json.loads(edited.text, strict=False)[name] for name in same} == {
            name: before[name] for name in same
        }
    after = (await chat.get(1)).json()
    assert after["updated_at"] > before["updated_at"] == before["created_at"]
    assert after | {"updated_at": None, "content": None} == before | {
        "updated_at": None,
        "content": None,
    }
    large = {"content": [{"type": "text", "text": "x" * (1 << 20)}]}
    assert (await alice.http.patch(f"{chat.messages}/1", json=large)).status_code == 413
    wrong = {"content": [{"type": "tool_call", "id": "1"}]}
    refused = await alice.http.patch(f"{chat.messages}/1", json=wrong)
    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, "content[0].name")
    assert (await chat.get(1)).json() == after


async def test_what_is_not_there_is_not_found(world: World) -> None:
    alice, bob = await world.member(), await world.member()
    chat = await a_conversation(alice, "a")
    for place in (0, -1, 2, 2**53, 2**63, 10**30, "x", "1.0", "%00"):
        assert (await chat.get(place)).status_code == 404, place
        assert (await chat.edit(place, content="x")).status_code == 404, place
        assert (await chat.delete(place)).status_code == 404, place
    theirs = chat.of(bob.http)
    for answer in (await theirs.get(1), await theirs.edit(1, content="x"), await theirs.delete(1)):
        assert answer.status_code == 404
    assert (await theirs.cut(0)).status_code == 404
    assert await chat.read() == {1: "a"}


async def test_what_cannot_be_is_refused_and_changes_nothing(world: World) -> None:
    alice = await world.member()
    chat = await a_conversation(alice, "a")
    tag = (await chat.get(1)).headers["etag"]
    wrong: list[dict[str, Any]] = [{"content": ""}, {"content": None}, {"content": 7}]
    wrong += [{"status": "done"}, {"status": None}, {"role": "user"}, {"metadata": {"k": 1}}]
    for body in wrong:
        assert (await chat.edit(1, **body)).status_code == 422, body
    for after in ("-1", "", "1.5", "x", str(2**53)):
        assert (await chat.cut(after)).status_code == 422, after
    missing = await alice.http.delete(chat.messages)
    assert (missing.status_code, missing.json()["errors"][0]["path"]) == (422, "after")
    assert (await chat.edit(1)).status_code == 200  # nothing was asked for
    assert (await chat.get(1)).headers["etag"] == tag


async def test_of_two_who_saw_the_same_the_slower_is_told(world: World) -> None:
    """Each write names the new state; one that was expected otherwise writes nothing."""
    alice = await world.member()
    chat = await a_conversation(alice, "a", "b", "c", "d")
    first = (await chat.get(1)).headers["etag"]
    states = [first]
    for write in (chat.edit(1, content="A", tag=first), chat.delete(2), chat.cut(3)):
        answer = await write
        assert answer.is_success, answer.text
        states.append(answer.headers["etag"])
        assert (await chat.get(1)).headers["etag"] == states[-1]
    assert len(set(states)) == 4
    there = await chat.read()
    for tag in (*states[:-1], '"another"', 'W/"1-1"'):
        for late in (
            await chat.edit(1, content="late", tag=tag),
            await chat.delete(1, tag=tag),
            await chat.cut(0, tag=tag),
        ):
            assert (late.status_code, late.headers["etag"]) == (412, states[-1])
            assert late.headers["content-type"] == "application/problem+json"
    assert await chat.read() == there
    for malformed in ("", " ", "1", f"{first}, {first}", "*, *"):
        headers = {"If-Match": malformed}
        for method, path in (("PATCH", "/1"), ("DELETE", "/1"), ("DELETE", "?after=0")):
            body = {"content": "x"} if method == "PATCH" else None
            url = f"{chat.messages}{path}"
            refused = await alice.http.request(method, url, json=body, headers=headers)
            assert refused.status_code == 400, (malformed, path)
    assert (await chat.edit(1, content="any", tag="*")).status_code == 200
    now = (await chat.get(1)).headers["etag"]
    assert (await chat.delete(9, tag=first)).status_code == 404  # it would be with any tag
    assert (await chat.cut(3, tag=first)).status_code == 412
    unchanged = await chat.cut(3, tag=f"W/{now}")
    assert (unchanged.json(), unchanged.headers["etag"]) == ({"deleted": 0}, now)
