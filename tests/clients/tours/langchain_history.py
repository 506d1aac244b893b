"""A LangChain history over the chat sessions of the service, and a chain that uses it."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

import httpx
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    message_to_dict,
    messages_from_dict,
)
from langchain_core.runnables.history import RunnableWithMessageHistory

ROLES = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}


class BicameralHistory(BaseChatMessageHistory):
    """The messages of one chat session, which is found, or opened, by an id of your own."""

    def __init__(self, http: httpx.Client, external_id: str) -> None:
        self._http = http
        session = self._call("PUT", f"by-external-id/{quote(external_id, safe='')}")
        self._messages = f"{session['id']}/messages"

    @property
    def messages(self) -> list[BaseMessage]:
        return messages_from_dict([one["content"][0]["message"] for one in self._pages()])

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        stored = [
            {
                "role": ROLES.get(message.type, "developer"),
                "content": [
                    {"type": "langchain", "text": message.text, "message": message_to_dict(message)}
                ],
            }
            for message in messages
        ]
        self._call("POST", f"{self._messages}/batch", json={"messages": stored})

    def clear(self) -> None:
        self._call("DELETE", self._messages, params={"after": 0})

    def _pages(self) -> Iterator[dict[str, Any]]:
        query: dict[str, Any] = {"order": "asc", "limit": 100}
        while query:
            page = self._call("GET", self._messages, params=query)
            yield from page["items"]
            query = query | {"after": page["next"]} if page["next"] else {}

    def _call(self, method: str, path: str, **sent: Any) -> dict[str, Any]:
        answer = self._http.request(method, f"/v1/chat-sessions/{path}", **sent).raise_for_status()
        return answer.json()


def history(external_id: str) -> BicameralHistory:
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
    return BicameralHistory(httpx.Client(base_url=os.environ["BASE"], headers=headers), external_id)


CALL = {"name": "weather", "args": {"in": "Oslo"}, "id": "c1", "type": "tool_call"}
SAID = [
    SystemMessage("Be brief."),
    HumanMessage(
        [
            {"type": "text", "text": "Warm?"},
            {"type": "image_url", "image_url": "https://example.org/a"},
        ]
    ),
    AIMessage("", tool_calls=[CALL], response_metadata={"model": "m", "logprobs": [0.10]}),
    ToolMessage("4 °C", tool_call_id="c1", artifact={"raw": [4]}),
    AIMessage("No.", usage_metadata={"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}),
]
kept = history("thread/1")
kept.add_messages(SAID)
same = history("thread/1").messages == SAID
model = GenericFakeChatModel(messages=iter([AIMessage("Hello"), AIMessage("Again")]))
chain = RunnableWithMessageHistory(model, history)
for words in ("One", "Two"):
    chain.invoke([HumanMessage(words)], {"configurable": {"session_id": "thread/2"}})
chained = [(one.type, one.content) for one in history("thread/2").messages]
kept.clear()
kept.add_messages([HumanMessage("Anew")])
cleared = [one.content for one in history("thread/1").messages]
sys.stdout.write(json.dumps({"same": same, "chained": chained, "cleared": cleared}))
