"""A request that creates, for each such route, and a look at the rows."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import asyncpg
import httpx

from app.http.idempotency import HEADER
from tests.support.factories import PASSWORD, Someone, World, a_session
from tests.support.servers import Servers

numbers = count(1)
ROUTES = ("tenant", "user", "session", "message", "batch")
MESSAGE = {"role": "user", "content": "Hello"}
TABLES = {
    "tenant": ("user", "tenants"),
    "user": ("user", "users"),
    "session": ("general", "chat_sessions"),
    "message": ("general", "messages"),
    "batch": ("general", "messages"),
}


@dataclass(frozen=True)
class Sent:
    """A request that creates, by whoever may."""

    route: str
    by: Someone
    path: str
    body: dict[str, Any]

    async def send(self, key: str | None = None, **changed: Any) -> httpx.Response:
        headers = {} if key is None else {HEADER: key}
        return await self.by.http.post(self.path, json=self.body | changed, headers=headers)


async def a_request(world: World, route: str, by: Someone | None = None) -> Sent:
    number = next(numbers)
    if route in ("tenant", "user"):
        by = by or await world.admin()
        name = {"username": f"new-{number}", "email": f"new-{number}@example.org"}
        bodies = {"tenant": {"name": f"new-{number}"}, "user": name | {"password": PASSWORD}}
        return Sent(route, by, f"/v1/{route}s", bodies[route])
    by = by or await world.member()
    if route == "session":
        return Sent(route, by, "/v1/chat-sessions", {"title": f"New {number}"})
    messages = f"/v1/chat-sessions/{(await a_session(by))['id']}/messages"
    if route == "message":
        return Sent(route, by, messages, MESSAGE)
    return Sent(route, by, f"{messages}/batch", {"messages": [MESSAGE] * 3})


@dataclass(frozen=True)
class Rows:
    """Both databases as a superuser sees them."""

    user: asyncpg.Connection
    general: asyncpg.Connection

    async def of(self, route: str) -> int:
        """Count what the route creates."""
        database, table = TABLES[route]
        connection: asyncpg.Connection = getattr(self, database)
        return int(await connection.fetchval(f"SELECT count(*) FROM {table}") or 0)

    async def keys(self, of: Someone) -> int:
        return len(await self._of_each("SELECT FROM {table} WHERE user_id = $1", of))

    async def expire(self, of: Someone) -> None:
        """Let their keys expire, as if a day had passed."""
        await self._of_each("UPDATE {table} SET expires_at = now() WHERE user_id = $1", of)

    async def _of_each(self, statement: str, of: Someone) -> list[asyncpg.Record]:
        found: list[asyncpg.Record] = []
        for name, connection in (("user", self.user), ("general", self.general)):
            table = f"{name}_idempotency_keys"
            found += await connection.fetch(statement.format(table=table), of.id)
        return found


@asynccontextmanager
async def open_rows(servers: Servers, database: str) -> AsyncGenerator[Rows]:
    user = await asyncpg.connect(servers.user.url(database))
    general = await asyncpg.connect(servers.general.url(database))
    try:
        yield Rows(user, general)
    finally:
        for connection in (user, general):
            connection.terminate()
