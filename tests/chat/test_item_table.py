"""The page's table of messages and items is what the service does."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

import pytest

from tests.support.factories import World
from tests.support.openai_wire import items_of, native, opened, session_of
from tests.support.servers import ROOT

ROW = re.compile(r"(?m)^\| `(.+?)` \| (⇄|→|←) \| `(.+?)`(?:, sent as `(.+)`)? \|$")


class Row(NamedTuple):
    message: dict[str, Any]
    arrow: str
    item: dict[str, Any]
    sent: dict[str, Any]


def rows() -> list[Row]:
    found = ROW.findall((ROOT / "app/chat/README.md").read_text())
    return [
        Row(json.loads(message), arrow, json.loads(item), json.loads(sent or item))
        for message, arrow, item, sent in found
    ]


ROWS = rows()


def test_the_table_is_read() -> None:
    assert [row.arrow for row in ROWS] == ["⇄"] * 6 + ["←"] * 2 + ["→"] * 2


@pytest.mark.parametrize("row", [row for row in ROWS if row.arrow != "→"])
async def test_an_item_is_a_message(world: World, row: Row) -> None:
    member = await world.member()
    conversation = await opened(member, row.sent)
    [message] = await native(member, conversation)
    assert {name: message[name] for name in row.message} == row.message
    [item] = (await items_of(member, conversation))["data"]
    assert {name: item[name] for name in row.item} == row.item


@pytest.mark.parametrize("row", [row for row in ROWS if row.arrow != "←"])
async def test_a_message_is_an_item(world: World, row: Row) -> None:
    member = await world.member()
    conversation = await opened(member)
    path = f"/v1/chat-sessions/{session_of(conversation)}/messages"
    assert (await member.http.post(path, json=row.message)).status_code == 201
    [item] = (await items_of(member, conversation))["data"]
    assert {name: item[name] for name in row.item} == row.item
