"""API keys made by the service's own routes, and requests made with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from tests.support.factories import Someone, World

ON_BEHALF_OF = "On-Behalf-Of"
EVERY_SCOPE = [
    *("chat:read", "chat:write", "export"),
    *("users:read", "users:write", "users:erase", "tokens"),
]


@dataclass(frozen=True)
class Backend:
    """A product's backend: its key's id, the key, and a client that sends it."""

    id: UUID
    key: str
    http: httpx.AsyncClient
    world: World

    def acting_for(self, person: UUID | str) -> httpx.AsyncClient:
        client = self.world.with_token(self.key)
        client.headers[ON_BEHALF_OF] = str(person)
        return client


def path_of(external_id: str) -> str:
    return f"/v1/users/by-external-id/{quote(external_id, safe='')}"


async def a_key(boss: Someone, *scopes: str, **more: Any) -> dict[str, Any]:
    body = {"name": "backend", "scopes": scopes or EVERY_SCOPE, **more}
    answer = await boss.http.post("/v1/api-keys", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def a_backend(world: World, boss: Someone, *scopes: str, **more: Any) -> Backend:
    made = await a_key(boss, *scopes, **more)
    return Backend(UUID(made["id"]), made["key"], world.with_token(made["key"]), world)
