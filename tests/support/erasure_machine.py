"""Anything in any order: users made, deleted and writing, relays that die, sleep and start over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    multiple,
    precondition,
    rule,
)

from app.databases.causes import OWNER_CLOSED
from tests.support.erasure_scene import Scene, Subject, a_session, writer
from tests.support.relay_process import COMMITS

MOST_PEOPLE = 3  # few, so that much happens to each
ENOUGH = 20  # turns, for all that may be pending
IMPATIENT = "SET lock_timeout = '20ms'"
NOTHING: Any = multiple()  # pyright: ignore[reportUnknownVariableType]  # generic over nothing


class Crash(BaseException):
    """Nothing in the relay may handle it: as if the process were gone."""


@dataclass
class Person:
    """The model: how many sessions were accepted, and whether they are deleted."""

    subject: Subject
    sessions: int = 0
    is_deleted: bool = False


@dataclass
class Zombie:
    """A relay in the middle of an erasure, asleep until told to go on."""

    task: asyncio.Task[int]
    go_on: asyncio.Event = field(default_factory=asyncio.Event)


Write = tuple[Person, asyncpg.Connection]
Work = Callable[..., Coroutine[Any, Any, int]]  # of a relay that takes a hook


async def broken(work: Work, commit: str, error: type[BaseException]) -> None:
    """Let the relay work until that commit, where it raises the error."""

    async def hook(reached: str) -> None:
        if reached == commit:
            raise error

    await asyncio.gather(work(hook=hook), return_exceptions=True)


async def asleep_at(work: Work, commit: str) -> Zombie:
    """Let the relay work until it sleeps at that commit, or ends before."""
    go_on, reached = asyncio.Event(), asyncio.Event()

    async def hook(at: str) -> None:
        if at == commit:
            reached.set()
            await go_on.wait()

    task = asyncio.create_task(work(hook=hook))
    until = asyncio.create_task(reached.wait())
    await asyncio.wait({task, until}, return_when=asyncio.FIRST_COMPLETED)
    until.cancel()
    return Zombie(task, go_on)


class World(RuleBasedStateMachine):
    people = Bundle("people")
    writes = Bundle("writes")
    zombies = Bundle("zombies")
    scene: Scene
    runner: asyncio.Runner
    without: str | None = None

    def __init__(self) -> None:
        super().__init__()
        self.everyone: list[Person] = []
        self.asleep: list[Zombie] = []
        self.writing: list[Write] = []
        self.open = AsyncExitStack()

    def run(self, work: Any) -> Any:
        async def awaited() -> Any:
            return await work

        return self.runner.run(awaited())

    @initialize(target=people)
    def begin(self) -> Person:
        """Somebody who has said something, else most sequences come to nothing."""
        person = self.somebody()
        self.write(person)
        return person

    @precondition(lambda self: len(self.everyone) < MOST_PEOPLE)
    @rule(target=people, elsewhere=st.booleans())
    def create(self, elsewhere: bool) -> Person:
        """Those of one tenant are erased together."""
        return self.somebody(None if elsewhere else self.everyone[0].subject.tenant_id)

    def somebody(self, tenant_id: UUID | None = None) -> Person:
        person = Person(self.run(self.scene.a_user(tenant_id)))
        self.everyone.append(person)
        return person

    @rule(person=people)
    def write(self, person: Person) -> None:
        """The deleted write, too, by a token checked in time; they are refused after the close."""
        try:
            self.run(a_session(self.scene.general, person.subject))
            person.sessions += 1
        except asyncpg.LockNotAvailableError:
            pass  # a write that is not committed yet makes the owner
        except asyncpg.PostgresError as error:
            refused(error, person)

    @rule(target=writes, person=people)
    def begin_write(self, person: Person) -> Any:
        async def begin() -> Any:
            way = writer(self.scene, person.subject.tenant_id)
            connection = await self.open.enter_async_context(way)
            await connection.execute(IMPATIENT)
            await a_session(connection, person.subject)
            self.writing.append((person, connection))
            return self.writing[-1]

        try:
            return self.run(begin())
        except asyncpg.LockNotAvailableError:
            return NOTHING
        except asyncpg.PostgresError as error:
            refused(error, person)
            return NOTHING

    @rule(write=consumes(writes), commits=st.booleans())
    def end_write(self, write: Write, commits: bool) -> None:
        self.writing.remove(write)
        person, connection = write
        self.run(connection.execute("COMMIT" if commits else "ROLLBACK"))
        person.sessions += commits

    @rule(person=people)
    def delete(self, person: Person) -> None:
        self.run(self.scene.delete(person.subject))
        person.is_deleted = True

    @rule()
    def relay(self) -> None:
        self.run(self.relayed())

    @rule()
    def time_passes(self) -> None:
        self.run(self.scene.due())

    @rule(commit=st.sampled_from(COMMITS), error=st.sampled_from([Crash, ConnectionResetError]))
    def relay_breaks(self, commit: str, error: type[BaseException]) -> None:
        """It dies after that commit, or never hears that it worked."""
        self.run(broken(self.relayed, commit, error))

    @rule(target=zombies, commit=st.sampled_from(COMMITS))
    def relay_falls_asleep(self, commit: str) -> Zombie:
        return self.fallen_asleep(self.relayed, commit)

    def fallen_asleep(self, work: Work, commit: str) -> Zombie:
        zombie: Zombie = self.run(asleep_at(work, commit))
        self.asleep.append(zombie)
        return zombie

    @rule(zombie=consumes(zombies))
    def it_wakes(self, zombie: Zombie) -> None:
        zombie.go_on.set()
        self.run(asyncio.wait({zombie.task}))

    async def relayed(self, **how: Any) -> int:
        relay = self.scene.relay(relay_batch_rows=6, without=self.without, **how)
        return await relay.run_once()

    def teardown(self) -> None:
        """All wake, every transaction ends, the relay gets round to everybody: now it must hold."""
        for person, _ in self.writing:  # what is still being written must hold the relay up
            self.delete(person)
        for _ in self.everyone:
            self.time_passes()
            self.relay()
        for write in list(self.writing):
            self.end_write(write, commits=True)
        for zombie in self.asleep:
            self.it_wakes(zombie)
        self.run(self.settled())
        self.run(self.open.aclose())
        self.run(self.holds())

    async def settled(self) -> None:
        for _ in range(ENOUGH):
            await self.scene.due()
            if not await self.relayed():
                return

    async def holds(self) -> None:
        receipts = {receipt["user_id"]: receipt for receipt in await self.scene.receipts()}
        for person in self.everyone:
            user_id = person.subject.user_id
            there = await self.scene.general.fetchval(SESSIONS, user_id)
            receipt = receipts.get(user_id)
            assert there == (0 if person.is_deleted else person.sessions)
            assert (receipt is not None) == person.is_deleted
            if receipt:
                counts = (receipt["chat_sessions"], receipt["messages"])
                assert counts == (person.sessions, 2 * person.sessions)
                assert (await self.scene.entry(person.subject))["receipt"] == receipt["hash"]


SESSIONS = "SELECT count(*) FROM chat_sessions WHERE user_id = $1"


def refused(error: asyncpg.PostgresError, person: Person) -> None:
    assert error.sqlstate == OWNER_CLOSED
    assert person.is_deleted
