"""`/v1/conversations`: OpenAI's wire, over the rows of chat sessions."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest

from tests.support.api_keys import a_backend
from tests.support.factories import World
from tests.support.openai_wire import (
    CALL,
    MESSAGE,
    REASONING,
    add,
    items_of,
    native,
    opened,
)


async def test_a_conversation_is_opened_changed_and_deleted(world: World) -> None:
    member = await world.member()
    made = await member.http.post("/v1/conversations", json={"metadata": {"topic": "travel"}})
    conversation = made.json()
    assert conversation.keys() == {"id", "object", "created_at", "metadata"}
    assert (conversation["object"], conversation["metadata"]) == (
        "conversation",
        {"topic": "travel"},
    )
    path = f"/v1/conversations/{conversation['id']}"
    assert (await member.http.get(path)).json() == conversation
    changed = await member.http.post(path, json={"metadata": {"a": "b"}})
    assert changed.json() == conversation | {"metadata": {"a": "b"}}
    deleted = await member.http.delete(path)
    gone = {"id": conversation["id"], "object": "conversation.deleted", "deleted": True}
    assert (deleted.status_code, deleted.json()) == (200, gone)
    assert (await member.http.get(path)).status_code == 404
    assert (await member.http.delete(path)).status_code == 404


@pytest.mark.parametrize("id_", ["conv_1", "x", f"msg_{UUID(int=1).hex}", "%00"])
async def test_what_is_no_conversation_is_not_found(world: World, id_: str) -> None:
    member = await world.member()
    for path in (f"/v1/conversations/{id_}", f"/v1/conversations/{id_}/items"):
        assert (await member.http.get(path)).status_code == 404
    conversation = await opened(member)
    assert (
        await member.http.get(f"/v1/conversations/{conversation}/items/{id_}")
    ).status_code == 404
    stranger = await world.member()
    assert (await stranger.http.get(f"/v1/conversations/{conversation}")).status_code == 404


async def test_queries_that_are_unknown_here_are_ignored(world: World) -> None:
    member = await world.member()
    conversation = await opened(member)
    path = f"/v1/conversations/{conversation}/items?include[]=a&include[]=b&odd=1"
    assert (await member.http.get(path)).status_code == 200
    assert (await member.http.post(path, json={"items": [MESSAGE]})).status_code == 200


async def test_a_key_that_is_still_running_must_not_be_repeated(world: World) -> None:
    member = await world.member()
    conversation = await opened(member)
    path, headers = f"/v1/conversations/{conversation}/items", {"Idempotency-Key": "k"}
    body = {"items": [MESSAGE]}
    first = await member.http.post(path, json=body, headers=headers)
    again = await member.http.post(path, json=body, headers=headers)
    assert again.content == first.content
    assert len((await items_of(member, conversation))["data"]) == 1
    await member.http.delete(f"{path}/{first.json()['first_id']}")
    late = await member.http.post(path, json=body, headers=headers)
    assert (late.status_code, late.headers.get("x-should-retry")) == (409, "false")


async def test_an_api_key_writes_for_a_person_and_a_minted_token_as_its_user(world: World) -> None:
    boss = await world.tenant_admin()
    member = await world.someone(
        "\\acme\\wire",
    )
    backend = await a_backend(world, boss)
    person = backend.acting_for(member.id)
    made = await person.post("/v1/conversations", json={"items": [CALL]})
    [message] = await native(member, made.json()["id"])
    assert message["created_by"] == str(backend.id)
    minted = await backend.http.post(f"/v1/users/{member.id}/tokens", json={"expires_in": 60})
    device = world.with_token(minted.json()["access_token"])
    path = f"/v1/conversations/{made.json()['id']}/items"
    assert (await device.post(path, json={"items": [MESSAGE]})).status_code == 200
    for item in (CALL, REASONING, {"role": "assistant", "content": "x"}):
        assert (await device.post(path, json={"items": [item]})).status_code == 403


async def test_conversations_are_listed_in_pages(world: World) -> None:
    member = await world.member()
    ids = [await opened(member) for _ in range(3)]
    page = (await member.http.get("/v1/conversations", params={"limit": 2})).json()
    assert [one["id"] for one in page["data"]] == ids[:0:-1]
    assert page["has_more"]
    rest = {"limit": 2, "after": page["last_id"]}
    last = (await member.http.get("/v1/conversations", params=rest)).json()
    assert ([one["id"] for one in last["data"]], last["has_more"]) == (ids[:1], False)
    forward = {"limit": 2, "order": "asc", "after": ids[0]}
    asc = (await member.http.get("/v1/conversations", params=forward)).json()
    assert [one["id"] for one in asc["data"]] == ids[1:]


async def test_many_append_at_once_without_gaps(world: World) -> None:
    member = await world.member()
    conversation = await opened(member)
    await asyncio.gather(*(add(member, conversation, MESSAGE, CALL) for _ in range(10)))
    positions = [one["position"] for one in await native(member, conversation)]
    assert positions == list(range(1, 21))


@pytest.mark.parametrize("items", [[], [MESSAGE]])
async def test_metadata_have_no_halves_of_surrogate_pairs(world: World, items: list[Any]) -> None:
    member = await world.member()
    body = json.dumps({"items": items, "metadata": {"topic": "\ud83d"}})
    headers = {"Content-Type": "application/json"}
    refused = await member.http.post("/v1/conversations", content=body, headers=headers)
    assert refused.status_code == 422, refused.text
    assert [error["path"] for error in refused.json()["errors"]] == ["metadata"]
    assert (await member.http.get("/v1/conversations")).json()["data"] == []
