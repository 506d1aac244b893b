"""Seals or unseals a person's rows while they write, for `litestar keys`.

(a) Messages are read in batches, and what they become is computed, without a lock.
(b) Each is written only if it still equals what was read, under the lock of its session that every
    change takes: an edit that came between is not undone, and one that waits sees the new row.
    What a session says itself is read under that lock, too.
(c) Before COMMIT it is asked whether rows are to be converted so, still: `keys seal` and `unseal`
    wait for each other's transactions, so that a process that was frozen here undoes nothing.
(d) A row that had changed is met again in a second pass, which reads under the lock: nobody keeps
    their rows as they are by editing on. Whatever is written meanwhile is written in the new way.

Neither `updated_at` nor a version changes, since nothing that anybody can read does. A conversion
that was killed is run again, and finds what is left.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from app.chat import metadata
from app.chat.conversion_statements import (
    ANSWERS,
    CHECK_KEY,
    FORGET_KEY,
    LOCK,
    MESSAGES,
    SESSIONS,
    WRITE_ANSWER,
    WRITE_MESSAGES,
    WRITE_SESSION,
)
from app.chat.session_rows import SessionRow, unopened
from app.chat.words import Seal
from app.databases.database import Database
from app.databases.sealing.person_keys import PersonKey
from app.databases.sessions import GeneralSession
from app.http.stored_answers import Kept, answer_place, opened_answer, sealed_answer

NOWHERE = UUID(int=0)
ROWS, BYTES = 500, 4 << 20

Check = Callable[[], Awaitable[None]]  # raises where rows are not to be converted so any more


async def convert(
    general: Database[GeneralSession],
    tenant_id: UUID,
    user_id: UUID,
    key: PersonKey,
    check: Check,
    *,
    to_sealed: bool,
) -> AsyncGenerator[int]:
    """Seal or unseal all that a person said; give the number of rows after each batch.

    What cannot be opened stays as it is. Their owner's row has the key at the end, and forgets it
    when nothing of theirs is sealed any more.
    """
    conversion = _Conversion(general, tenant_id, user_id, key, check, to_sealed=to_sealed)
    for is_under_lock in (False, True):
        async for rows in conversion.once(is_under_lock=is_under_lock):
            yield rows
    await conversion.end()


class _Conversion:
    def __init__(
        self,
        general: Database[GeneralSession],
        tenant_id: UUID,
        user_id: UUID,
        key: PersonKey,
        check: Check,
        *,
        to_sealed: bool,
    ) -> None:
        self._general = general
        self._whose = {"tenant_id": tenant_id, "user_id": user_id}
        self._tenant_id = tenant_id
        self._user_id = user_id
        self._key = key
        self._check = check
        self._to_sealed = to_sealed
        self._seal = Seal(tenant_id, key, is_sealing=to_sealed)

    async def once(self, *, is_under_lock: bool) -> AsyncGenerator[int]:
        """Convert what is found in one pass."""
        after = NOWHERE
        while sessions := unopened(await self._read(SESSIONS, after=after)):
            for session in sessions:
                yield await self._session(session)
                async for rows in self._messages(session.id, is_under_lock):
                    yield rows
            after = sessions[-1].id
        name = ""
        while answers := await self._read(ANSWERS, after=name, to_sealed=self._to_sealed):
            for answer in answers:
                yield await self._answer(answer)
            name = answers[-1].key

    async def end(self) -> None:
        async with self._general.session(self._tenant_id) as session:
            if not self._to_sealed:
                await session.execute(FORGET_KEY, self._whose)
            await self._end_write(session)

    async def _end_write(self, session: GeneralSession) -> None:
        if self._to_sealed:
            await session.execute(CHECK_KEY, self._whose | {"seal_key": self._key.id})
        await self._check()

    async def _read(self, query: Any, **values: Any) -> list[Any]:
        async with self._general.session(self._tenant_id) as session:
            return list((await session.execute(query, self._whose | values)).all())

    @asynccontextmanager
    async def _locked(
        self, session_id: UUID | None
    ) -> AsyncGenerator[tuple[GeneralSession, SessionRow | None]]:
        """Hold the session, and give its row if it is still there."""
        async with self._general.session(self._tenant_id) as session:
            rows = await session.execute(LOCK, self._whose | {"session_id": session_id})
            found = unopened(rows.all())
            yield session, found[0] if found else None

    async def _write(self, session: GeneralSession, statement: Any, values: Any) -> int:
        """Write what has not changed; return how many rows that were."""
        written = (await session.execute(statement, self._whose | values)).all()
        if written:
            await self._end_write(session)
        return len(written)

    async def _session(self, row: SessionRow) -> int:
        if (row.sealed is not None) == self._to_sealed:
            return 0
        async with self._locked(row.id) as (session, now):
            if now is None or (now.sealed is not None) == self._to_sealed:
                return 0
            words = self._seal.titled_of(now)
            if words is None:
                return 0
            pairs = metadata.shown(words.metadata)
            columns = self._seal.titled_columns(row.id, words.title, pairs)._asdict()
            return await self._write(session, WRITE_SESSION, {"session_id": row.id} | columns)

    async def _messages(self, session_id: UUID, is_under_lock: bool) -> AsyncGenerator[int]:
        place = {"session_id": session_id, "sealed_ones": not self._to_sealed}
        place |= {"rows": ROWS, "bytes": BYTES, "after": 0}
        while rows := await self._read(MESSAGES, **place):
            values = self._columns(session_id, rows)
            async with self._locked(session_id) as (session, _):
                if is_under_lock:
                    there = await session.execute(MESSAGES, self._whose | place)
                    values = self._columns(session_id, there.all())
                written = await self._write(session, WRITE_MESSAGES, values) if values else 0
            yield written
            place["after"] = rows[-1].position

    def _columns(self, session_id: UUID, rows: Sequence[Any]) -> dict[str, Any] | None:
        """Give what is to be written, with what it replaces; None where nothing can be read."""
        opened = [(row, self._seal.words_of(session_id, row)) for row in rows]
        said = [(row, words) for row, words in opened if words is not None]
        if not said:
            return None
        new = [self._seal.columns(session_id, row.id, words) for row, words in said]
        old = ("content", "parts", "metadata", "item_members", "sealed")
        return {
            "session_id": session_id,
            "ids": [row.id for row, _ in said],
            **{name: [getattr(one, name) for one in new] for name in new[0]._fields},
            **{f"old_{name}": [getattr(row, name) for row, _ in said] for name in old},
        }

    async def _answer(self, row: Any) -> int:
        columns = self._answer_columns(row)
        if columns is None:
            return 0
        old = {"key": row.key, "old_answer": row.answer, "old_sealed": row.sealed}
        async with self._locked(row.about_id) as (session, _):
            return await self._write(session, WRITE_ANSWER, columns | old)

    def _answer_columns(self, row: Any) -> dict[str, Any] | None:
        where = answer_place(self._tenant_id, self._user_id, row.key)
        if self._to_sealed:
            return sealed_answer(self._key, Kept(row.answer, row.fingerprint), where)
        kept = opened_answer(self._key, row.sealed, where)
        return kept and {"answer": kept.answer, "fingerprint": kept.digest, "sealed": None}
