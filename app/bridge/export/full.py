"""An operator's export: a person's, a tenant's or everybody's rows as one file of NDJSON.

Each person is read in one snapshot of the general database, so that a conversation and its
messages belong together. A person's lines end with their digest, and the file with that of all
lines, so that a file which was cut off or changed is noticed.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterable

from sqlalchemy import select, text

from app.accounts.models import User
from app.bridge.export.full_lines import (
    VERSION,
    EndLine,
    HeadLine,
    UserEndLine,
    message_line,
    ndjson,
    session_line,
)
from app.bridge.export.lines import UserLine
from app.bridge.export.people import EVENTS, events_of, last_lines_of
from app.bridge.export.stored import BY_SESSION, IN_ORDER, NO_IDLE_TIMEOUT, StoredRows
from app.bridge.sealing.seals import Seals
from app.chat.models import Owner
from app.databases.database import Databases
from app.databases.sessions import driver_of
from app.http.structs import to_struct

SNAPSHOT = {"isolation_level": "REPEATABLE READ"}
READ_ONLY = text("SET TRANSACTION READ ONLY")


class Counted:
    """Digests the lines that it is given; whoever reads rows counts them here."""

    def __init__(self) -> None:
        self.chat_sessions = 0
        self.messages = 0
        self._hash = hashlib.sha256()

    def add(self, line: bytes) -> bytes:
        self._hash.update(line)
        return line

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


class FullExport:
    """Writes everybody's lines, one person after the other."""

    def __init__(self, databases: Databases, seals: Seals) -> None:
        self._databases = databases
        self._seals = seals
        self._file = Counted()
        self.users = 0

    @property
    def summary(self) -> str:
        said = f"{self._file.messages} messages in {self._file.chat_sessions} conversations"
        return f"{said} of {self.users} people"

    async def lines(self, people: AsyncIterable[User]) -> AsyncGenerator[bytes]:
        yield self._file.add(ndjson(HeadLine(VERSION)))
        async for user in people:
            async for line in self._person(user):
                yield self._file.add(line)
        counts = (self.users, self._file.chat_sessions, self._file.messages)
        yield ndjson(EndLine(*counts, self._file.sha256))

    async def _person(self, user: User) -> AsyncGenerator[bytes]:
        person = Counted()
        async for line in self._of_both(user, person):
            yield person.add(line)
        counts = (person.chat_sessions, person.messages)
        yield ndjson(UserEndLine(user.id, *counts, person.sha256))
        self.users += 1
        self._file.chat_sessions += person.chat_sessions
        self._file.messages += person.messages

    async def _of_both(self, user: User, person: Counted) -> AsyncGenerator[bytes]:
        database = self._databases.user
        yield ndjson(to_struct(UserLine, user))
        events = await events_of(database, user, None)
        while events:
            for event in events:
                yield ndjson(event)
            events = await events_of(database, user, events[-1]) if len(events) == EVENTS else []
        async for line in self._said(user, person):
            yield line
        for last in await last_lines_of(database, user):
            yield ndjson(last)

    async def _said(self, user: User, person: Counted) -> AsyncGenerator[bytes]:
        """Yield nothing without an open owner: nothing was said, or it is being erased."""
        seal = await self._seals.reading(user.tenant_id, user.id)
        async with self._databases.general.session(user.tenant_id) as session:
            await session.connection(execution_options=SNAPSHOT)
            await session.execute(READ_ONLY)
            await session.execute(NO_IDLE_TIMEOUT)
            whose = {"tenant_id": user.tenant_id, "user_id": user.id}
            if await session.scalar(select(Owner.state).filter_by(**whose)) != "open":
                return
            rows = StoredRows(await driver_of(session), user.tenant_id, {user.id: seal})
            async for sessions in rows.sessions(IN_ORDER):
                person.chat_sessions += len(sessions)
                for _, chat_session in sessions:
                    yield session_line(chat_session)
            async for messages in rows.messages(BY_SESSION):
                person.messages += len(messages)
                for _, message in messages:
                    yield message_line(message)
