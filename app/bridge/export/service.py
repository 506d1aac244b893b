"""Exports: everything there is about a person, from both databases, as NDJSON in constant memory.

What is written while the export is read may or may not be in it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec

from app.accounts.audit import Action, Audit
from app.accounts.authority import check_rank
from app.accounts.models import User
from app.accounts.tokens import CredentialLookup
from app.accounts.users import UserService
from app.bridge.export.lines import UserLine
from app.bridge.export.people import EVENTS, events_of, last_lines_of
from app.bridge.export.permission import Permission
from app.bridge.export.repository import SESSIONS, START, ExportRepository, Place
from app.bridge.sealing.seals import KeyOwner
from app.chat.words import Seal
from app.databases.database import Databases
from app.databases.sealing.master_keys import WrappedKey
from app.databases.sealing.sealing import Sealing
from app.http.security import Principal
from app.http.structs import to_struct


class Export(NamedTuple):
    """The lines, and the permission that must be watched while they are read."""

    lines: AsyncGenerator[bytes]
    permission: Permission


class ExportService:
    """Exports the caller's own data, or, for administrators, that of a user of theirs."""

    def __init__(
        self,
        users: UserService,
        audit: Audit,
        tokens: CredentialLookup,
        databases: Databases,
        sealing: Sealing,
    ) -> None:
        self._users = users
        self._audit = audit
        self._tokens = tokens
        self._databases = databases
        self._sealing = sealing

    async def own(self, actor: Principal) -> Export:
        return await self._begun(actor, await self._users.own(actor), actor.wrapped_key)

    async def of(self, actor: Principal, user_id: UUID) -> Export:
        """Raises NotFound or Forbidden for a user whom the actor does not administer."""
        subject, wrapped = await self._users.one_with_key(actor, user_id)
        check_rank(actor, subject)
        return await self._begun(actor, subject, wrapped)

    async def _begun(self, actor: Principal, subject: User, wrapped: WrappedKey | None) -> Export:
        """Read the first page now, so that a database that is away is a 503 and no broken 200.

        Whoever is not the person leaves an event, which is committed before the first byte is sent.
        """
        if actor.actor_id != subject.id:
            await self._audit.note(actor, subject.id, Action.USER_EXPORTED)
        permission = Permission(self._tokens, self._databases.user, actor, subject)
        pages = self._pages(subject, permission, self._seal(subject, wrapped))
        first = await anext(pages)

        async def lines() -> AsyncGenerator[bytes]:
            yield first
            async for page in pages:
                yield page

        return Export(lines(), permission)

    def _seal(self, subject: User, wrapped: WrappedKey | None) -> Seal:
        """Open what the subject said: with their own key, whoever exports."""
        person = KeyOwner(subject.id, subject.tenant_id, wrapped)
        return Seal(subject.tenant_id, self._sealing.reading(person), is_sealing=False)

    async def _pages(
        self, subject: User, permission: Permission, seal: Seal
    ) -> AsyncGenerator[bytes]:
        """Read the pages; each but the first waits until it is known that it may be read."""
        users = self._databases.user
        rows = ExportRepository(self._databases.for_exports, subject.tenant_id, subject.id, seal)
        last = await last_lines_of(users, subject)  # the database may be away by the end
        sessions = await rows.sessions(None)
        events = await events_of(users, subject, None)
        yield _lines([to_struct(UserLine, subject)]) + _lines(events)
        while len(events) == EVENTS:
            await permission.confirm()
            events = await events_of(users, subject, events[-1])
            yield _lines(events)
        yield _lines(sessions)
        while len(sessions) == SESSIONS:
            await permission.confirm()
            sessions = await rows.sessions(sessions[-1])
            yield _lines(sessions)
        place: Place | None = START
        while place is not None:
            await permission.confirm()
            parts, place = await rows.messages(place)
            for part in parts:
                yield part
        yield _lines(last)


def _lines(items: Sequence[msgspec.Struct]) -> bytes:
    return msgspec.json.Encoder().encode_lines(items)
