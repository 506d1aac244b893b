"""Every method of `conversations` and its items, of OpenAI's client for Python."""

import asyncio
import json
import os
import sys

from openai import AsyncOpenAI, ConflictError, NotFoundError, OpenAI

ADDRESS = {"base_url": os.environ["BASE"] + "/v1", "api_key": os.environ["TOKEN"]}
CALL = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"in":"Oslo"}'}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "4 °C"}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gA=="}


def words(number: int) -> dict[str, str]:
    return {"role": "user", "content": f"Where is it warm? {number}"}


def tour(client: OpenAI) -> dict[str, object]:
    conversation = client.conversations.create(items=[words(0)], metadata={"topic": "travel"})
    id_ = conversation.id
    client.conversations.update(id_, metadata={"topic": "weather"})
    items = client.conversations.items
    added = items.create(id_, items=[CALL, OUTPUT, THOUGHT, *map(words, range(1, 30))])
    every = list(items.list(id_, order="asc", limit=10))
    newest = next(iter(items.list(id_)))
    call = items.retrieve(added.first_id, conversation_id=id_)
    items.delete("rs_1", conversation_id=id_)
    seen = {
        "object": conversation.object,
        "metadata": client.conversations.retrieve(id_).metadata,
        "added": len(added.data),
        "types": [one.type for one in every[:4]],
        "texts": [one.content[0].text for one in every if one.type == "message"],
        "newest": newest.content[0].text,
        "call": [call.call_id, call.name, call.arguments, call.status],
        "thought": [one.encrypted_content for one in every if one.type == "reasoning"],
        "left": len(list(items.list(id_))),
        "deleted": client.conversations.delete(id_).deleted,
    }
    try:
        client.conversations.retrieve(id_)
    except NotFoundError as error:
        seen["gone"] = [error.status_code, error.response.headers["content-type"]]
    return seen


def conflict(client: OpenAI) -> int:
    """A conflict is not sent again: it says so itself."""
    id_, key = client.conversations.create().id, {"Idempotency-Key": "once"}
    items = client.conversations.items
    first = items.create(id_, items=[words(1)], extra_headers=key)
    items.delete(first.first_id, conversation_id=id_)
    requests = []
    client._client.event_hooks["request"].append(requests.append)
    try:
        items.create(id_, items=[words(1)], extra_headers=key)
    except ConflictError:
        return len(requests)
    return 0


async def asynchronous() -> list[str]:
    async with AsyncOpenAI(**ADDRESS) as client:
        conversation = await client.conversations.create(items=[words(1), CALL])
        items = client.conversations.items.list(conversation.id, order="asc")
        seen = [one.type async for one in items]
        await client.conversations.delete(conversation.id)
        return seen


with OpenAI(**ADDRESS) as openai:
    seen = tour(openai) | {"sent": conflict(openai), "async": asyncio.run(asynchronous())}
    sys.stdout.write(json.dumps(seen))
