"""A hundred of a list's largest items are fewer bytes than an answer may have, messages aside."""

from __future__ import annotations

import asyncpg

from app.chat.pages import PAGE_BYTES
from app.http.paging import MAX_LIMIT
from tests.support.factories import Someone, World
from tests.support.servers import Servers

ESCAPED = 6  # bytes, at most, that JSON takes for one of a text
# As wide as the columns are.
WIDEN = """
UPDATE users SET email = rpad(id::text || '@', 255, 'x');
UPDATE users SET roles = '["tenant_admin", "member"]' WHERE NOT roles ? 'admin';
UPDATE subject_ledger SET receipt = repeat('f', 64), completed_at = now(), chat_sessions = 2^62,
    messages = 2^62, delivered_rev = rev;
"""


async def test_no_list_can_be_too_large(world: World, servers: Servers, database: str) -> None:
    """Messages have a rule of their own: tests/chat/test_pages.py."""
    root, boss = await world.admin(), await world.tenant_admin()
    alice, bob = await world.member(), await world.member()
    made = await alice.http.post("/v1/chat-sessions", json={"title": "x" * 255})
    assert made.status_code == 201
    assert (await boss.http.delete(f"/v1/users/{bob.id}")).status_code == 202
    connection = await asyncpg.connect(servers.user.url(database))
    await connection.execute(WIDEN)
    await connection.close()
    for who, path in (
        (alice, "/v1/chat-sessions"),
        (boss, "/v1/users"),
        (root, "/v1/users"),
        (root, "/v1/tenants"),
        (root, "/v1/erasures"),
    ):
        assert await largest(who, path) * ESCAPED * MAX_LIMIT < PAGE_BYTES, path


async def largest(who: Someone, path: str) -> int:
    answer = await who.http.get(path, params={"limit": 1})
    assert answer.status_code == 200, answer.text
    [_] = answer.json()["items"]
    return len(answer.content)
