"""Imports people one after the other, each of them whole or not at all.

What is stored of a person is read again and compared with the file before it is committed. So a
person with rows here was either imported before, and then their rows are those of the file, or is
somebody whom an import must not touch. An import that was interrupted is done again from its start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple
from uuid import UUID

import asyncpg

from app.bridge.importing.file import ImportFile, Say
from app.bridge.importing.known import refusals
from app.bridge.importing.people import ROWS as PIECE_ROWS
from app.bridge.importing.people import Person, Piece
from app.bridge.importing.transaction import CLOSED, RefusedError, Transaction
from app.bridge.sealing.seals import Seals
from app.databases.causes import OWNER_CLOSED, is_passing, sqlstate
from app.databases.database import Databases
from app.http.errors import Conflict

ROWS = 10_000
BYTES = 16 << 20
AT_ONCE = 2  # transactions
OTHERS = "has conversations here that are not the file's, and is left as they are"
CHANGED = "was stored with other rows than the file has, and is not imported"
REFUSED = {
    "23505": "is not imported: an id of theirs is taken, here already or twice in the file",
    OWNER_CLOSED: CLOSED,
}
REFUSED_ROW = "is not imported: the database refuses a row of theirs (SQLSTATE {})"
BAD_LINES = "is not imported: not all of their lines are good"

Watch = Callable[[int], None]


class Imported(NamedTuple):
    """Counts the people with conversations who were imported, and their rows.

    `present` are those whose rows were all here already, `refused` those who are not imported.
    """

    people: int = 0
    chat_sessions: int = 0
    messages: int = 0
    present: int = 0
    refused: int = 0


class Coming(NamedTuple):
    """A person and the pieces of their rows, of which some may yet have to be read."""

    person: Person
    pieces: Iterable[Piece]


class Importer:
    """Imports a file. `say` is told once who is refused, and `watch` how many bytes were read."""

    def __init__(
        self,
        databases: Databases,
        seals: Seals,
        say: Say,
        watch: Watch,
        *,
        with_strangers: bool,
    ) -> None:
        self._databases = databases
        self._seals = seals
        self._say = say
        self._watch = watch
        self._with_strangers = with_strangers
        self._group = list[Coming]()
        self._rows = self._bytes = 0
        self._turns = asyncio.Semaphore(AT_ONCE)
        self.done = Imported()

    async def run(self, file: ImportFile) -> None:
        """Store people with few rows together, and one with many in a transaction of their own.

        The file is read on meanwhile, and AT_ONCE transactions run at a time.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                for person in file.people():
                    await self._person(person, tasks)
                    self._watch(file.bytes_read)
                await self._flush(tasks)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _person(self, person: Person, tasks: asyncio.TaskGroup) -> None:
        pieces = list[Piece]()
        for piece in person.pieces():
            pieces.append(piece)
            await asyncio.sleep(0)  # so that what is being stored goes on
            if sum(one.bytes for one in pieces) >= BYTES or len(pieces) * PIECE_ROWS >= ROWS:
                break
        if not person.is_read:
            await self._store([Coming(person, chain(pieces, person.pieces()))])
        elif person.is_good:
            await self._gather(Coming(person, pieces), pieces, tasks)
        else:
            self._refuse(person, BAD_LINES)

    async def _gather(
        self, coming: Coming, pieces: Sequence[Piece], tasks: asyncio.TaskGroup
    ) -> None:
        if self._group and self._group[0].person.whose.tenant_id != coming.person.whose.tenant_id:
            await self._flush(tasks)
        self._group.append(coming)
        self._rows += sum(piece.rows for piece in pieces)
        self._bytes += sum(piece.bytes for piece in pieces)
        if self._rows >= ROWS or self._bytes >= BYTES:
            await self._flush(tasks)

    async def _flush(self, tasks: asyncio.TaskGroup) -> None:
        group, self._group = self._group, []
        self._rows = self._bytes = 0
        if group:
            await self._turns.acquire()
            storing = tasks.create_task(self._store(group))
            storing.add_done_callback(lambda _: self._turns.release())

    async def _store(self, group: Sequence[Coming]) -> None:
        """Import those whom the user database knows; where one is refused, the others alone."""
        users = [one.person.whose.user_id for one in group]
        refused = await refusals(
            self._databases.user,
            group[0].person.whose.tenant_id,
            users,
            with_strangers=self._with_strangers,
            is_sealing=self._seals.is_sealing,
        )
        for one in group:
            if words := refused.get(one.person.whose.user_id):
                self._refuse(one.person, words)
        known = [one for one in group if one.person.whose.user_id not in refused]
        if not known:
            return
        try:
            await self._together(known)
        except (RefusedError, Conflict, asyncpg.PostgresError) as error:
            if is_passing(error):
                raise
            if len(known) > 1:
                for one in known:
                    await self._alone(one)
            else:
                self._refuse(known[0].person, _words(error))

    async def _alone(self, one: Coming) -> None:
        try:
            await self._together([one])
        except (RefusedError, Conflict, asyncpg.PostgresError) as error:
            if is_passing(error):
                raise
            self._refuse(one.person, _words(error))

    async def _together(self, group: Sequence[Coming]) -> None:
        """Store all of them, or raise RefusedError for one and store none."""
        people = [one.person for one in group]
        tenant_id = people[0].whose.tenant_id
        users = [one.whose.user_id for one in people]
        async with Transaction.of(self._databases.general, self._seals, tenant_id, users) as rows:
            await rows.lock_owners()
            present = await rows.with_rows()
            new = [one for one in group if one.person.whose.user_id not in present]
            await rows.add_all(_pieces(new))
            for one in people:
                one.drain()
                if not one.is_good:
                    raise RefusedError(BAD_LINES)
            for whose in await rows.differing({one.whose.user_id: one.sum for one in people}):
                raise RefusedError(OTHERS if whose in present else CHANGED)
        self._count([one.person for one in new], len(present))

    def _count(self, new: Sequence[Person], present: int) -> None:
        done = self.done
        self.done = done._replace(
            people=done.people + sum(one.chat_sessions > 0 for one in new),
            chat_sessions=done.chat_sessions + sum(one.chat_sessions for one in new),
            messages=done.messages + sum(one.messages for one in new),
            present=done.present + present,
        )

    def _refuse(self, person: Person, words: str) -> None:
        self.done = self.done._replace(refused=self.done.refused + 1)
        self._say(f"{person.whose} {words}.")


def _pieces(group: Iterable[Coming]) -> Iterator[tuple[UUID, Piece]]:
    for one in group:
        for piece in one.pieces:
            yield one.person.whose.user_id, piece


def _words(error: Exception) -> str:
    if isinstance(error, RefusedError | Conflict):
        return str(error)
    state = sqlstate(error)[0] or ""
    return REFUSED.get(state) or REFUSED_ROW.format(state)
