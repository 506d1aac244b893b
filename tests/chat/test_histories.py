"""Appends, edits, deletions and cuts of many clients at once, with and without If-Match, and reads:
one order of changes explains all that was answered.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import asyncpg
import httpx
import pytest

from app.config.settings import Settings
from app.server import create_app
from tests.support.callers import client_of
from tests.support.conversation import Conversation, a_conversation, if_match
from tests.support.factories import World
from tests.support.locks import lock_rows, until_waiting
from tests.support.opened import opened
from tests.support.servers import Servers, alive
from tests.support.versions import (
    Change,
    Effect,
    Read,
    Rows,
    Said,
    State,
    appended,
    deleted,
    edited,
    faults,
)

CLIENTS, TURNS = 8, 30
LARGE = 20_000  # characters: stored apart from the row, in pieces
STATUSES = ("in_progress", "completed")
SESSION = "SELECT message_count, last_position, version FROM chat_sessions WHERE id = $1"


@dataclass
class Clients:
    """Each turn is one request, chosen by chance. All know the last tag and position seen."""

    chat: Conversation
    chance: random.Random
    changes: list[Change] = field(default_factory=list[Change])
    reads: list[Read] = field(default_factory=list[Read])
    answers: list[int] = field(default_factory=list[int])
    clock: Iterator[int] = field(default_factory=lambda: count(1))
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    last: int = 1
    tag: str = '"0-0"'

    async def work(self, chat: Conversation) -> None:
        for _ in range(TURNS):
            self.chat = chat  # through one of the services
            turn = self.chance.choices(
                [self.append, self.edit, self.delete, self.cut, self.read, self.read_page],
                [30, 30, 6, 3, 15, 16],
            )
            await turn[0]()

    def said(self) -> Said:
        """Every message and every edit has a text of its own, the same from end to end."""
        word = f"{next(self.numbers)} "
        return Said(word * (LARGE // len(word)), self.chance.choice(STATUSES))

    async def append(self) -> None:
        said = [self.said() for _ in range(self.chance.choice([1, 1, 3]))]
        sent = [{"role": "user", **one._asdict()} for one in said]
        path = "" if len(sent) == 1 else "/batch"
        body = sent[0] if len(sent) == 1 else {"messages": sent}

        def effect(answer: httpx.Response) -> Effect:
            told = answer.json()
            positions = [one["position"] for one in told.get("items", [told])]
            self.last = max(self.last, *positions)
            return appended(said, positions)

        await self.change("POST", path, effect, json=body)

    async def edit(self) -> None:
        said, position = self.said(), self.position()
        effect = edited(position, said)
        await self.change("PATCH", f"/{position}", lambda _: effect, json=said._asdict())

    async def delete(self) -> None:
        position = self.position()
        await self.change("DELETE", f"/{position}", lambda _: deleted(position, position, 1))

    async def cut(self) -> None:
        after = self.position()

        def effect(answer: httpx.Response) -> Effect | None:
            gone = answer.json()["deleted"]
            return deleted(after + 1, None, gone) if gone else None

        await self.change("DELETE", f"?after={after}", effect)

    async def change(
        self, method: str, path: str, effect: Callable[[httpx.Response], Effect | None], **what: Any
    ) -> None:
        expected = self.tag if self.chance.random() < 0.3 else ""
        began = next(self.clock)
        answer = await self.chat.http.request(
            method, f"{self.chat.messages}{path}", headers=if_match(expected), **what
        )
        ended = next(self.clock)
        self.answers.append(answer.status_code)
        assert answer.status_code in (200, 201, 204, 404, 412), answer.text
        if answer.status_code == 404:
            return
        self.tag = answer.headers["etag"]
        if answer.status_code == 412:
            assert self.tag != expected
        elif (done := effect(answer)) is not None:
            self.changes.append(
                Change(
                    began=began,
                    ended=ended,
                    version=version_of(self.tag),
                    effect=done,
                    expected=version_of(expected) if expected else None,
                )
            )

    async def read(self) -> None:
        answer = await self.chat.get(position := self.position())
        if answer.status_code == 200:
            self.reads.append(Read(version_of(answer.headers["etag"]), rows_of([answer.json()])))
            assert answer.json()["position"] == position

    async def read_page(self) -> None:
        answer = await self.chat.http.get(self.chat.messages, params={"limit": 30})
        page = answer.json()
        self.tag = answer.headers["etag"]
        whole = page["next"] is None
        self.reads.append(Read(version_of(self.tag), rows_of(page["items"]), whole))

    def position(self) -> int:
        """Mostly a late one, where everybody is at work."""
        return max(1, self.last - int(self.chance.expovariate(0.3)))


def version_of(tag: str) -> int:
    return int(tag.removeprefix('"').split("-")[0])


def rows_of(messages: list[dict[str, Any]]) -> Rows:
    return {one["position"]: Said(one["content"], one["status"]) for one in messages}


@pytest.mark.parametrize("seed", [1, 2])
async def test_one_order_of_changes_explains_all_that_was_answered(
    world: World, servers: Servers, database: str, settings: Settings, seed: int
) -> None:
    """Two services are asked: in one alone, the clients of a conversation would take turns."""
    alice = await world.member()
    chat = await a_conversation(alice)
    clients = Clients(chat, random.Random(seed))  # noqa: S311  it chooses what is tried
    other = create_app(settings)
    async with alive(other), client_of(other, None) as nobody:
        there = chat.of(World(other, nobody).same(alice).http)
        await asyncio.gather(*(clients.work(one) for one in [chat, there] * (CLIENTS // 2)))
    session_id = chat.path.rsplit("/", 1)[1]
    async with opened(servers, database) as opener:
        rows = await opener.messages(session_id)
        ((number, last_position, version),) = await opener.general.fetch(SESSION, session_id)
    end = State({row.position: Said(row.content, row.status) for row in rows}, last_position)
    assert faults(clients.changes, clients.reads, end) == []
    assert (number, version) == (len(rows), len(clients.changes))
    assert {200, 201, 204, 404, 412} == set(clients.answers)
    assert len(clients.reads) > CLIENTS


async def test_two_who_wait_with_one_tag_do_not_both_write(
    world: World, servers: Servers, database: str, settings: Settings
) -> None:
    """Each is compared when the row is its own, whatever it was when it came."""
    alice = await world.member()
    chat = await a_conversation(alice, "a", "b")
    general = await asyncpg.connect(servers.general.url(database))
    other = create_app(settings)
    async with alive(other), client_of(other, None) as nobody:
        there = chat.of(World(other, nobody).same(alice).http)
        assert (await there.get(1)).status_code == 200  # it has a connection from here on
        for second in (there.edit, there.delete):
            tag = (await chat.get(1)).headers["etag"]
            async with general.transaction():
                await lock_rows(general, "chat_sessions")
                body = {"content": tag} if second == there.edit else {}
                late = [
                    asyncio.create_task(chat.edit(1, content="c", tag=tag)),
                    asyncio.create_task(second(2, tag=tag, **body)),
                ]
                await until_waiting(general, 2)
            statuses = [(await one).status_code for one in late]
            assert statuses.count(412) == 1, statuses
    await general.close()
