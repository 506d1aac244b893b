"""Conversations and items, written and read as OpenAI's clients do."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from tests.support.factories import Someone

MESSAGE = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
CALL = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"in":"Oslo"}'}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "4 °C"}
REASONING: dict[str, Any] = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [],
    "encrypted_content": "gA==",
}
ODD = (
    '{"type":"chart.v2","n":[1.10,1e400,12345678901234567890123],"z":"\\u0000",'
    '"a":"\\ud83d","b":{}}'
)


async def opened(someone: Someone, *items: Any, **more: Any) -> str:
    answer = await someone.http.post("/v1/conversations", json={"items": items, **more})
    assert answer.status_code == 200, answer.text
    id_: str = answer.json()["id"]
    return id_


async def items_of(someone: Someone, conversation: str, **query: Any) -> dict[str, Any]:
    query = {"order": "asc", **query}
    answer = await someone.http.get(f"/v1/conversations/{conversation}/items", params=query)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def add(someone: Someone, conversation: str, *items: Any) -> list[dict[str, Any]]:
    body = {"items": items}
    answer = await someone.http.post(f"/v1/conversations/{conversation}/items", json=body)
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


def session_of(conversation: str) -> UUID:
    return UUID(conversation.removeprefix("conv_"))


async def native(someone: Someone, conversation: str) -> list[dict[str, Any]]:
    path = f"/v1/chat-sessions/{session_of(conversation)}/messages"
    answer = await someone.http.get(path, params={"order": "asc"})
    messages: list[dict[str, Any]] = answer.json()["items"]
    return messages
