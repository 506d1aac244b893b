"""A transaction that PostgreSQL gave up for another's sake left nothing, and its client is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import httpx
import pytest

from tests.support.factories import World, a_session

GIVES_UP = """
CREATE SEQUENCE tries;
CREATE FUNCTION give_up() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF nextval('tries') <= {times} THEN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER give_up AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION give_up();
"""
Write = Callable[[], Awaitable[httpx.Response]]
# A session's transaction, with a key and without, and a hot route's one statement.
WAYS = ["chat_sessions", "chat_sessions, with a key", "messages"]


async def a_writer(world: World, way: str) -> tuple[str, Write]:
    alice = await world.member()
    path, body = "/v1/chat-sessions", {"title": "Again"}
    if way == "messages":
        path += f"/{(await a_session(alice))['id']}/messages"
        body = {"role": "user", "content": "Again"}
    headers = {"Idempotency-Key": "again"} if way.endswith("a key") else {}
    return way.split(",")[0], lambda: alice.http.post(path, json=body, headers=headers)


async def rows(general: asyncpg.Connection, table: str) -> Any:
    return await general.fetchval(f"SELECT count(*) FROM {table}")


@pytest.mark.parametrize("state", ["40001", "40P01"])
@pytest.mark.parametrize("way", WAYS)
async def test_a_rolled_back_request_is_503_and_may_be_sent_again(
    world: World, general: asyncpg.Connection, way: str, state: str
) -> None:
    table, write = await a_writer(world, way)
    await general.execute(GIVES_UP.format(table=table, times=1, state=state))
    answer = await write()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert await rows(general, table) == 0
    created = await write()
    assert (created.status_code, await rows(general, table)) == (201, 1)
    if way.endswith("a key"):
        assert (await write()).content == created.content
