"""Exports: everything there is about a person, from both databases, as NDJSON in constant memory.

What is written while the export is read may or may not be in it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from uuid import UUID

import msgspec

from app.accounts.models import User
from app.accounts.users import UserService
from app.bridge.export.lines import UserLine
from app.bridge.export.repository import PAGE, START, ExportRepository, Place
from app.databases.database import Database
from app.databases.sessions import GeneralSession
from app.http.security import Principal


class ExportService:
    """Exports the caller's own data, or, for administrators, that of a user of theirs."""

    def __init__(self, users: UserService, general: Database[GeneralSession]) -> None:
        self._users = users
        self._general = general

    async def own(self, actor: Principal) -> AsyncGenerator[bytes]:
        return await self._begun(await self._users.own(actor))

    async def of(self, actor: Principal, user_id: UUID) -> AsyncGenerator[bytes]:
        """Raises NotFound for a user whom the actor does not administer."""
        return await self._begun(await self._users.one(actor, user_id))

    async def _begun(self, user: User) -> AsyncGenerator[bytes]:
        """Read the first page now, so that a database that is away is a 503 and no broken 200."""
        pages = self._pages(user)
        first = await anext(pages)

        async def body() -> AsyncGenerator[bytes]:
            yield first
            async for page in pages:
                yield page

        return body()

    async def _pages(self, user: User) -> AsyncGenerator[bytes]:
        rows = ExportRepository(self._general, user.tenant_id, user.id)
        sessions = await rows.sessions(None)
        yield _lines([msgspec.convert(user, UserLine, from_attributes=True)]) + _lines(sessions)
        while len(sessions) == PAGE:
            sessions = await rows.sessions(sessions[-1].id)
            yield _lines(sessions)
        place: Place | None = START
        while place is not None:
            lines, place = await rows.messages(place)
            if lines:
                yield lines


def _lines(items: Sequence[msgspec.Struct]) -> bytes:
    return msgspec.json.Encoder().encode_lines(items)
