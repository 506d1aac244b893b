"""A row refuses what was sealed in another one of the same person, stored answers included."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.config.settings import Settings
from tests.support.factories import Someone, World
from tests.support.sealed import SESSIONS, asked
from tests.support.sealing import master_keys
from tests.support.servers import Servers, settings_for

SWAP_ANSWERS = """
UPDATE general_idempotency_keys k SET sealed = other.sealed
FROM general_idempotency_keys other
WHERE (k.key, other.key) IN (('one', 'two'), ('two', 'one'))
"""
SWAP = """
UPDATE {0} r SET sealed = other.sealed FROM {0} other
WHERE (r.id, other.id) IN (($1::uuid, $2::uuid), ($2, $1))
"""


@pytest.fixture
def settings(servers: Servers, database: str) -> Settings:
    return settings_for(servers, database, seal_keys=master_keys("a"))


async def a_session(someone: Someone, title: str) -> tuple[UUID, UUID]:
    """Make a session with one message, under the title as a key; give the ids of both."""
    key = {"Idempotency-Key": title}
    made = await asked(someone, "POST", SESSIONS, {"title": title}, headers=key)
    text = {"role": "user", "content": title}
    said = await asked(someone, "POST", f"{SESSIONS}/{made['id']}/messages", text)
    return UUID(made["id"]), UUID(said["id"])


async def test_rows_of_two_sessions_are_not_taken_for_each_other(
    world: World, general: asyncpg.Connection[Any]
) -> None:
    alice = await world.member()
    (one, first), (two, second) = [await a_session(alice, name) for name in ("one", "two")]
    await general.execute(SWAP.format("messages"), first, second)
    for session in (one, two):
        page = await asked(alice, "GET", f"{SESSIONS}/{session}/messages")
        assert [(i["content"], i["unreadable"]) for i in page["items"]] == [(None, True)]
    await general.execute(SWAP.format("messages"), first, second)
    await general.execute(SWAP.format("chat_sessions"), one, two)
    for session in (one, two):
        shown = await asked(alice, "GET", f"{SESSIONS}/{session}")
        assert (shown["title"], shown["unreadable"]) == (None, True)
        page = await asked(alice, "GET", f"{SESSIONS}/{session}/messages")
        assert [i["content"] for i in page["items"]] == ["one" if session == one else "two"]


async def test_a_stored_answer_that_cannot_be_read_is_a_conflict_and_makes_nothing_anew(
    world: World, general: asyncpg.Connection[Any]
) -> None:
    alice = await world.member()
    for name in ("one", "two"):
        await a_session(alice, name)
    assert await general.execute(SWAP_ANSWERS) == "UPDATE 2"
    for name in ("one", "two"):
        key = {"Idempotency-Key": name}
        answer = await alice.http.post(SESSIONS, json={"title": name}, headers=key)
        assert answer.status_code == 409
        assert answer.json()["detail"].endswith("cannot be read; use another key.")
    assert await general.fetchval("SELECT count(*) FROM chat_sessions") == 2
