"""Tests of sealing ask as somebody, and look for what was said in the database."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx

from app.server import create_app
from tests.support.factories import Someone, World
from tests.support.sealing import master_keys
from tests.support.servers import Servers, alive, settings_for

SESSIONS = "/v1/chat-sessions"
MARK = "Zugvogel"  # in whatever is said
COLUMNS = """
SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
AND NOT a.attisdropped
"""


async def found(general: asyncpg.Connection[Any], mark: str) -> list[str]:
    """List the columns of the general database that hold the mark, as text or as bytes."""
    there = list[str]()
    for table, column in await general.fetch(COLUMNS):
        query = f"SELECT count(*) FROM {table} WHERE position($1 IN {column}::text) > 0"
        query += f" OR position(encode($1::bytea, 'hex') IN {column}::text) > 0"
        if await general.fetchval(query, mark):
            there.append(f"{table}.{column}")
    return there


async def asked(someone: Someone, method: str, path: str, body: Any = None, **more: Any) -> Any:
    answer: httpx.Response = await someone.http.request(method, path, json=body, **more)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


@asynccontextmanager
async def with_a_key(servers: Servers, database: str) -> AsyncGenerator[World]:
    """Start another process on the same databases, which has a master key."""
    service = create_app(settings_for(servers, database, seal_keys=master_keys("a")))
    transport = httpx.ASGITransport(app=service)  # pyright: ignore[reportArgumentType]  # ASGI is ASGI
    async with alive(service), httpx.AsyncClient(transport=transport, base_url="http://b") as http:
        yield World(service, http)


def there(sealed: World, someone: Someone) -> Someone:
    """Give somebody at that other process."""
    token = someone.http.headers["authorization"].removeprefix("Bearer ")
    return Someone(someone.id, someone.tenant_id, someone.username, sealed.with_token(token))
