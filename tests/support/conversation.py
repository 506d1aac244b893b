"""One conversation of somebody's over HTTP: what is said in it is read, edited and deleted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.factories import Someone, a_session
from tests.support.pages import items


@dataclass(frozen=True)
class Conversation:
    http: httpx.AsyncClient
    path: str

    @property
    def messages(self) -> str:
        return f"{self.path}/messages"

    def of(self, http: httpx.AsyncClient) -> Conversation:
        """The same one, by another client."""
        return Conversation(http, self.path)

    async def say(self, *texts: str, role: str = "user", **headers: str) -> list[int]:
        """Append; return the positions."""
        sent = [{"role": role, "content": text} for text in texts]
        answer = await self.http.post(
            f"{self.messages}/batch", json={"messages": sent}, headers=headers
        )
        assert answer.status_code == 201, answer.text
        return [one["position"] for one in answer.json()["items"]]

    async def read(self) -> dict[int, str]:
        """Return what there is, walking through its pages in both directions."""
        there = {
            order: [one async for one in items(self.http, self.messages, limit=3, order=order)]
            for order in ("asc", "desc")
        }
        assert there["asc"] == there["desc"][::-1]
        return {one["position"]: one["content"] for one in there["asc"]}

    async def count(self) -> int:
        count: int = (await self.http.get(self.path)).json()["message_count"]
        return count

    async def get(self, position: object) -> httpx.Response:
        return await self.http.get(f"{self.messages}/{position}")

    async def edit(self, position: object, *, tag: str = "", **body: Any) -> httpx.Response:
        path = f"{self.messages}/{position}"
        return await self.http.patch(path, json=body, headers=if_match(tag))

    async def delete(self, position: object, *, tag: str = "") -> httpx.Response:
        return await self.http.delete(f"{self.messages}/{position}", headers=if_match(tag))

    async def cut(self, after: object, *, tag: str = "") -> httpx.Response:
        """Delete what is past the position."""
        params = {"after": str(after)}
        return await self.http.delete(self.messages, params=params, headers=if_match(tag))


def if_match(tag: str) -> dict[str, str]:
    return {"If-Match": tag} if tag else {}


async def a_conversation(someone: Someone, *texts: str) -> Conversation:
    path = f"/v1/chat-sessions/{(await a_session(someone))['id']}"
    conversation = Conversation(someone.http, path)
    if texts:
        await conversation.say(*texts)
    return conversation
