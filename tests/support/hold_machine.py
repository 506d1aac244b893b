"""Anything in any order, and holds: placed, lifted, delivered by relays that die and sleep, and
raced by deletions of what was said.
"""

from __future__ import annotations

from typing import Any

import asyncpg
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, consumes, rule

from app.bridge.holds.relay import Drain, HoldRelay, drain
from app.databases.causes import OWNER_HELD
from tests.support.erasure_machine import (
    ENOUGH,
    IMPATIENT,
    NOTHING,
    Crash,
    Person,
    World,
    Write,
    Zombie,
    broken,
)
from tests.support.erasure_scene import writer
from tests.support.holds import HOLD, held, lift, place
from tests.support.relay_process import HOLD_COMMITS

NEXT = "SELECT id FROM chat_sessions WHERE user_id = $1 ORDER BY id LIMIT 1"
DELETE = "DELETE FROM chat_sessions WHERE tenant_id = $1 AND id = $2 RETURNING id"
PASSING = (asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError)


class HoldWorld(World):
    overwrites = Bundle("overwrites")
    drain: Drain = staticmethod(drain)

    def __init__(self) -> None:
        super().__init__()
        self.held: list[Person] = []
        self.overwriting: list[Write] = []

    @rule(person=World.people)
    def place(self, person: Person) -> None:
        if not person.is_deleted and person not in self.held:
            self.run(place(self.scene, person.subject))
            self.held.append(person)

    @rule(person=World.people)
    def lift(self, person: Person) -> None:
        if person in self.held:
            self.run(lift(self.scene, person.subject))
            self.held.remove(person)

    @rule(person=World.people)
    def delete(self, person: Person) -> None:
        try:
            self.run(self.scene.delete(person.subject))
        except asyncpg.IntegrityConstraintViolationError:
            assert person in self.held
        else:
            assert person not in self.held
            person.is_deleted = True

    @rule()
    def deliver(self) -> None:
        self.run(self.delivered())

    @rule(
        commit=st.sampled_from(HOLD_COMMITS), error=st.sampled_from([Crash, ConnectionResetError])
    )
    def delivery_breaks(self, commit: str, error: type[BaseException]) -> None:
        self.run(broken(self.delivered, commit, error))

    @rule(target=World.zombies, commit=st.sampled_from(HOLD_COMMITS))
    def delivery_falls_asleep(self, commit: str) -> Zombie:
        return self.fallen_asleep(self.delivered, commit)

    @rule(person=World.people)
    def overwrite(self, person: Person) -> None:
        """A hold in force refuses it; one on its way, or a lift, may or may not."""
        was_in_force = self.run(self.in_force(person))
        if self.run(self.deleted_by(self.scene.general, person)):
            assert not was_in_force
            person.sessions -= 1

    @rule(target=overwrites, person=World.people)
    def begin_overwrite(self, person: Person) -> Any:
        async def begin() -> Any:
            way = writer(self.scene, person.subject.tenant_id)
            connection = await self.open.enter_async_context(way)
            await connection.execute(IMPATIENT)
            if not await self.deleted_by(connection, person):
                await connection.close()
                return NOTHING
            self.overwriting.append((person, connection))
            return self.overwriting[-1]

        was_in_force = self.run(self.in_force(person))
        write = self.run(begin())
        assert write is NOTHING or not was_in_force
        return write

    @rule(write=consumes(overwrites), commits=st.booleans())
    def end_overwrite(self, write: Write, commits: bool) -> None:
        """However long it takes, no hold is in force before it ends."""
        self.overwriting.remove(write)
        person, connection = write
        assert not self.run(self.in_force(person))
        self.run(connection.execute("COMMIT" if commits else "ROLLBACK"))
        person.sessions -= commits

    async def deleted_by(self, connection: asyncpg.Connection, person: Person) -> bool:
        subject = person.subject
        session_id = await connection.fetchval(NEXT, subject.user_id)
        try:
            return bool(await connection.fetchval(DELETE, subject.tenant_id, session_id))
        except PASSING:
            return False
        except asyncpg.PostgresError as error:
            if error.sqlstate != OWNER_HELD:
                raise
            return False

    async def in_force(self, person: Person) -> bool:
        subject = person.subject
        hold = await self.scene.user.fetchrow(HOLD, subject.tenant_id, subject.user_id)
        return hold is not None and hold["in_force_since"] is not None

    async def delivered(self, **how: Any) -> int:
        return await HoldRelay(self.scene.databases, drain=self.drain, **how).run_once()

    def teardown(self) -> None:
        for write in list(self.overwriting):
            self.deliver()
            self.end_overwrite(write, commits=True)
        super().teardown()

    async def settled(self) -> None:
        """Holds and lifts are delivered, then what waited for a lift is erased."""
        for _ in range(ENOUGH):
            if not await self.delivered():
                break
        await super().settled()

    async def holds(self) -> None:
        await super().holds()
        for person in self.everyone:
            is_held = person in self.held
            assert await held(self.scene, person.subject) == is_held
            assert await self.in_force(person) == is_held
