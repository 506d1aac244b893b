"""The items of `/v1/conversations` are messages, and come back as they were sent."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from tests.support.factories import World, a_message, a_session
from tests.support.openai_wire import (
    CALL,
    MESSAGE,
    ODD,
    OUTPUT,
    REASONING,
    add,
    items_of,
    native,
    opened,
    session_of,
)


async def test_items_come_back_as_they_were(world: World) -> None:
    member = await world.member()
    conversation = await opened(member, MESSAGE)
    again = {"role": "assistant", "content": "Hello", "phase": "final_answer"}
    await add(member, conversation, again, REASONING, CALL, OUTPUT)
    page = await items_of(member, conversation)
    hello: dict[str, Any] = {"type": "output_text", "text": "Hello", "annotations": []}
    ids = [item["id"] for item in page["data"]]
    assert page == {
        "object": "list",
        "data": [
            {**MESSAGE, "id": ids[0], "status": "completed"},
            {**again, "type": "message", "content": [hello], "id": ids[1], "status": "completed"},
            REASONING,
            {**CALL, "id": ids[3], "status": "completed"},
            {**OUTPUT, "id": ids[4], "status": "completed"},
        ],
        "first_id": ids[0],
        "last_id": ids[4],
        "has_more": False,
    }
    assert all(id_.startswith("msg_") for id_ in ids if id_ != "rs_1")


async def test_either_api_shows_what_the_other_wrote(world: World) -> None:
    member = await world.member()
    conversation = await opened(member, MESSAGE, CALL, OUTPUT, REASONING)
    shown = [(one["role"], one["content"]) for one in await native(member, conversation)]
    call = {"type": "tool_call", "id": "c1", "name": "weather", "arguments": '{"in":"Oslo"}'}
    kept = {name: value for name, value in REASONING.items() if name != "id"}
    assert shown == [
        ("user", MESSAGE["content"]),
        ("assistant", [call]),
        ("tool", [{"type": "tool_result", "tool_call_id": "c1", "content": "4 °C"}]),
        ("assistant", [kept]),
    ]
    session = await a_session(member)
    await a_message(member, session["id"], "Hello")
    other = f"conv_{UUID(session['id']).hex}"
    [item] = (await items_of(member, other))["data"]
    assert item["content"] == [{"type": "input_text", "text": "Hello"}]


async def test_what_nobody_has_heard_of_is_kept_as_text(world: World) -> None:
    member = await world.member()
    conversation = await opened(member)
    path = f"/v1/conversations/{conversation}/items"
    message = f'{{"role":"tool","content":[{ODD}],"x":1.10}}'
    body = f'{{"items":[{ODD},{message}]}}'
    headers = {"Content-Type": "application/json"}
    sent = await member.http.post(path, content=body, headers=headers)
    assert sent.status_code == 200, sent.text
    first, second = (item["id"] for item in sent.json()["data"])
    inside = ODD[1:]
    for read in (await member.http.get(path, params={"order": "asc"}), sent):
        assert f'{{"id":"{first}",{inside}' in read.text
        assert f'"content":[{ODD}],"status":"completed","x":1.10}}' in read.text
    alone = await member.http.get(f"{path}/{second}")
    assert f'"content":[{ODD}]' in alone.text


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_go_on_after_an_item(world: World, order: str) -> None:
    member = await world.member()
    conversation = await opened(member)
    sent = [{"role": "user", "content": str(number)} for number in range(5)]
    await add(member, conversation, *sent)
    seen, after = list[str](), {}
    while True:
        page = await items_of(member, conversation, order=order, limit=2, **after)
        seen += [item["content"][0]["text"] for item in page["data"]]
        if not page["has_more"]:
            break
        after = {"after": page["last_id"]}
    assert seen == sorted("01234", reverse=order == "desc")
    empty = await items_of(member, await opened(member))
    assert empty == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


async def test_an_items_own_id_is_kept_once(world: World) -> None:
    member = await world.member()
    conversation = await opened(member)
    named = {**MESSAGE, "id": "msg_mine"}
    first = await add(member, conversation, named, named, {**MESSAGE, "id": "__fake_id__"})
    assert first[0]["id"] == "msg_mine"
    assert not {"msg_mine", "__fake_id__"} & {first[1]["id"], first[2]["id"]}
    [taken] = await add(member, conversation, named)
    [native_id] = await add(member, conversation, {**MESSAGE, "id": taken["id"]})
    assert len({"msg_mine", taken["id"], native_id["id"]}) == 3
    other = await opened(member)
    assert (await add(member, other, named))[0]["id"] == "msg_mine"


async def test_an_item_is_found_and_deleted_by_its_id(world: World) -> None:
    member = await world.member()
    conversation = await opened(member, MESSAGE, REASONING)
    path = f"/v1/conversations/{conversation}/items"
    [first, second] = (await items_of(member, conversation))["data"]
    for item in (first, second):
        assert (await member.http.get(f"{path}/{item['id']}")).json() == item
    deleted = await member.http.delete(f"{path}/rs_1")
    assert deleted.json()["id"] == conversation
    assert (await member.http.get(f"{path}/rs_1")).status_code == 404
    assert (await member.http.get(path, params={"after": "rs_1"})).status_code == 404
    assert (await items_of(member, conversation))["data"] == [first]


@pytest.mark.parametrize(
    ("item", "field"),
    [
        (1, "items[1]"),
        ({"type": 1}, "items[1].type"),
        ({"role": "critic", "content": "x"}, "items[1].role"),
        ({"role": "user", "content": 1}, "items[1].content"),
        ({"role": "user", "content": [1]}, "items[1].content[0]"),
        ({"role": "user", "content": "x", "status": "done"}, "items[1].status"),
    ],
)
async def test_what_is_no_item_is_refused_and_nothing_stored(
    world: World, item: Any, field: str
) -> None:
    member = await world.member()
    conversation = await opened(member)
    body = {"items": [MESSAGE, item]}
    refused = await member.http.post(f"/v1/conversations/{conversation}/items", json=body)
    assert refused.status_code == 422, refused.text
    assert [error["path"] for error in refused.json()["errors"]] == [field]
    assert (await items_of(member, conversation))["data"] == []


async def test_a_native_edit_makes_an_item_a_message(world: World) -> None:
    member = await world.member()
    conversation = await opened(member, REASONING)
    path = f"/v1/chat-sessions/{session_of(conversation)}/messages/1"
    assert (await member.http.patch(path, json={"content": "So"})).status_code == 200
    [item] = (await items_of(member, conversation))["data"]
    assert (item["type"], item["content"][0]["text"]) == ("message", "So")
    assert "encrypted_content" not in json.dumps(item)
