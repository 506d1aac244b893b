"""The rows: tenants, users with a token each, and their conversations. Loaded by COPY."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from uuid_utils.compat import uuid7

from app.accounts.tokens import new_token, token_digest
from tests.benchmarks.world import Pair, connected, run

PAGE = 50
LONG_SESSION = 5000
WORDS = 'The quiet corner holds more "weather" than most rooms dare: naïve, \\ 日本語, and on. '
TEXTS = 1024
MESSAGE_COLUMNS = (
    *("tenant_id", "id", "session_id", "position", "role"),
    *("content", "parts", "metadata", "status", "created_at"),
)


class Target(NamedTuple):
    """A session to ask for, with its owner's token, or an API key on behalf of the owner."""

    token: str
    session_id: UUID
    on_behalf_of: str = ""


class Someone(NamedTuple):
    tenant_id: UUID
    user_id: UUID
    token: str


class Conversation(NamedTuple):
    owner: Someone
    id: UUID
    messages: int

    @property
    def target(self) -> Target:
        return Target(self.owner.token, self.id)


class Content(NamedTuple):
    """A message's columns for what was said: `content` is the text, `parts` and `metadata` JSON."""

    content: str
    parts: str | None = None
    metadata: str | None = None


def load(
    pair: Pair,
    *,
    tenants: int,
    users: int,
    lengths: Iterable[int],
    content: Callable[[str], Content] = Content,
    unfinished: int | None = None,
) -> list[Conversation]:
    """Load `users` in each tenant, conversations of these `lengths`, dealt out to them in turn.

    `content` makes a message of its text; the one at the position `unfinished` is in progress.
    """
    people = _people(tenants, users)
    conversations = [
        Conversation(people[number % len(people)], uuid7(), length)
        for number, length in enumerate(lengths)
    ]
    asyncio.run(_copy_people(pair, people))
    messages = _messages(conversations, content, unfinished)
    asyncio.run(_copy_conversations(pair, people, conversations, messages))
    for server in (pair.user, pair.general):
        run(server, pair.name, "VACUUM ANALYZE", "CHECKPOINT")
    return conversations


def mixture(messages: int) -> Iterator[int]:
    """A tenth of the messages in sessions of 5,000; the others' lengths vary, 74 in the median."""
    chance = random.Random(1)  # the same each time
    for _ in range(messages // 10 // LONG_SESSION):
        yield LONG_SESSION
        messages -= LONG_SESSION
    while messages:
        length = min(messages, LONG_SESSION, round(chance.lognormvariate(4.3, 1.0)) + 1)
        yield length
        messages -= length


def targets(conversations: Sequence[Conversation], most: int = 2000) -> list[Target]:
    return [one.target for one in asked(conversations, most)]


def asked(conversations: Sequence[Conversation], most: int = 2000) -> list[Conversation]:
    """Pick conversations that fill a page."""
    full = [one for one in conversations if one.messages > PAGE]
    return random.Random(1).sample(full, min(most, len(full)))  # the same each time


def _people(tenants: int, users: int) -> list[Someone]:
    ids = [uuid7() for _ in range(tenants)]
    return [Someone(tenant, uuid7(), new_token()) for _ in range(users) for tenant in ids]


async def _copy_people(pair: Pair, people: Sequence[Someone]) -> None:
    tenants = {one.tenant_id for one in people}
    expires_at = datetime.now(UTC) + timedelta(days=1)
    async with connected(pair.user, pair.name) as user:
        await user.copy_records_to_table(
            "tenants",
            columns=["id", "name"],
            records=[(tenant, f"tenant-{tenant.hex}") for tenant in tenants],
        )
        await user.copy_records_to_table(
            "users",
            columns=["id", "tenant_id", "username", "email", "password_hash", "external_id"],
            records=[_user(one) for one in people],
        )
        await user.copy_records_to_table(
            "access_tokens",
            columns=["digest", "tenant_id", "user_id", "expires_at"],
            records=[(token_digest(token), t, u, expires_at) for t, u, token in people],
        )


def _user(one: Someone) -> tuple[Any, ...]:
    tenant, name = one.tenant_id.hex, one.user_id.hex
    username, email = f"\\tenant-{tenant}\\user-{name}", f"{name}@example.org"
    return one.user_id, one.tenant_id, username, email, "not a hash: nobody logs in", name


async def _copy_conversations(
    pair: Pair,
    people: Sequence[Someone],
    conversations: Sequence[Conversation],
    messages: Iterator[tuple[Any, ...]],
) -> None:
    async with connected(pair.general, pair.name) as general:
        await general.copy_records_to_table(
            "owners",
            columns=["tenant_id", "user_id"],
            records=[(one.tenant_id, one.user_id) for one in people],
        )
        await general.copy_records_to_table(
            "chat_sessions",
            columns=["tenant_id", "user_id", "id", "title", "message_count"],
            records=[(*o[:2], at, f"About {n} things", n) for o, at, n in conversations],
        )
        # The foreign keys hold by construction; to look at each costs more than to write it.
        await general.execute("SET session_replication_role = replica")
        await general.copy_records_to_table(
            "messages",
            columns=MESSAGE_COLUMNS,
            records=messages,
        )


def _messages(
    conversations: Sequence[Conversation],
    content: Callable[[str], Content],
    unfinished: int | None,
) -> Iterator[tuple[Any, ...]]:
    chance = random.Random(1)  # the same each time
    contents = [content(text(chance)) for _ in range(TEXTS)]
    began = datetime.now(UTC).replace(microsecond=123_456) - timedelta(days=30)
    for owner, session_id, length in conversations:
        for position in range(1, length + 1):
            role = "user" if position % 2 else "assistant"
            said = contents[chance.getrandbits(10)]
            status = "in_progress" if position == unfinished else "completed"
            at = began + timedelta(seconds=position)
            yield owner.tenant_id, uuid7(), session_id, position, role, *said, status, at


def text(chance: random.Random) -> str:
    """10 to 800 signs, 190 on average."""
    length = min(800, 10 + round(chance.expovariate(1 / 190)))
    return (WORDS * (length // len(WORDS) + 1))[:length]
