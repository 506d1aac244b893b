"""The rows of both databases when everybody has gone, as a superuser sees them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import asyncpg

from tests.support.opened import Opener
from tests.support.servers import Servers

USERS = "SELECT id::text, tenant_id::text, username, is_blocked FROM users"
LEDGER = """
SELECT user_id::text, state, delivered_rev < rev AS is_pending, receipt, chat_sessions, messages
FROM subject_ledger
"""
OWNERS = "SELECT user_id::text, state FROM owners"
RECEIPTS = "SELECT user_id::text, hash, chat_sessions, messages FROM erasure_receipts"
# Whatever else bears a user's id.
BEARING = {
    "user": ("access_tokens", "user_blocks", "user_idempotency_keys"),
    "general": ("general_idempotency_keys", "chat_sessions"),
}


class User(NamedTuple):
    tenant_id: str
    username: str
    is_blocked: bool


class Session(NamedTuple):
    user_id: str
    title: str
    message_count: int


class Entry(NamedTuple):
    state: str
    is_pending: bool
    receipt: tuple[str | None, int | None, int | None]


@dataclass
class State:
    users: dict[str, User] = field(default_factory=dict[str, User])
    ledger: dict[str, Entry] = field(default_factory=dict[str, Entry])
    sessions: dict[str, Session] = field(default_factory=dict[str, Session])
    messages: defaultdict[str, list[tuple[int, str]]] = field(
        default_factory=lambda: defaultdict[str, list[tuple[int, str]]](list)
    )
    owners: dict[str, str] = field(default_factory=dict[str, str])
    receipts: list[tuple[str, tuple[str | None, int | None, int | None]]] = field(
        default_factory=list[tuple[str, tuple[str | None, int | None, int | None]]]
    )
    bearing: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])


@dataclass
class Sight:
    """A superuser's connections to both."""

    user: asyncpg.Connection
    general: asyncpg.Connection

    async def state(self) -> State:
        state = State()
        await _read_user(self.user, state)
        await _read_general(self.general, state)
        await _read_words(await Opener.of(self.user, self.general), state)
        for name, tables in BEARING.items():
            connection: asyncpg.Connection = getattr(self, name)
            for table in tables:
                rows = await connection.fetch(f"SELECT user_id::text FROM {table}")
                state.bearing[table] = Counter(row[0] for row in rows)
        return state


@asynccontextmanager
async def seen(servers: Servers, database: str) -> AsyncGenerator[Sight]:
    user = await asyncpg.connect(servers.user.url(database))
    general = await asyncpg.connect(servers.general.url(database))
    try:
        yield Sight(user, general)
    finally:
        user.terminate()
        general.terminate()


async def _read_user(user: asyncpg.Connection, state: State) -> None:
    state.users = {row[0]: User(row[1], row[2], row[3]) for row in await user.fetch(USERS)}
    for row in await user.fetch(LEDGER):
        state.ledger[row[0]] = Entry(row[1], row[2], (row[3], row[4], row[5]))


async def _read_general(general: asyncpg.Connection, state: State) -> None:
    state.owners = {row[0]: row[1] for row in await general.fetch(OWNERS)}
    state.receipts = [(row[0], (row[1], row[2], row[3])) for row in await general.fetch(RECEIPTS)]


async def _read_words(opener: Opener, state: State) -> None:
    for row in await opener.sessions():
        state.sessions[str(row.id)] = Session(str(row.user_id), row.title, row.message_count)
    for row in await opener.messages():
        state.messages[str(row.session_id)].append((row.position, row.content))
