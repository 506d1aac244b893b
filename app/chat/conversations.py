"""Conversations: `chat_sessions` and what may be done with them.

Every statement names tenant and owner. Row level security would keep tenants apart without that,
but not one user from another; and past one machine the tenant in the statement is what routes it.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from app.chat import schemas
from app.chat.creating import create_in_transaction
from app.chat.etags import Expected
from app.chat.fetching import Fetch
from app.chat.forks import Fork
from app.chat.models import DEFAULT_TITLE
from app.chat.repositories import ChatSessionRepository
from app.chat.session_rows import Listing, SessionRow, sessions_of
from app.chat.sessions import FIND, FIND_OR_OPEN, OPEN
from app.chat.words import Seal, reading, writing
from app.chat.writes import Writes
from app.databases.database import Database
from app.databases.sessions import GeneralSession
from app.http.errors import Invalid, NotFound, found
from app.http.idempotency import KeyedRequest
from app.http.paging import Place, RecentPlace
from app.http.security import Principal

NOT_PAST = "Send a moment in the future, or null."


class ChatSessionService:
    """Opens, reads, changes and deletes a person's conversations. Raises NotFound for another's."""

    def __init__(self, general: Database[GeneralSession], writes: Writes) -> None:
        self._general = general
        self._writes = writes
        self._sealing = writes.sealing

    async def open(
        self, owner: Principal, new: schemas.NewChatSession, request: KeyedRequest | None = None
    ) -> schemas.ChatSession | bytes:
        """Raises Invalid for one that has expired already; another's external id is a conflict."""
        seal = await writing(self._writes.sealing, owner)
        values = opening(owner, new, new.external_id, seal)

        async def write(fetch: Fetch) -> schemas.ChatSession:
            return _not_past(await fetch(OPEN, values), seal).to(schemas.ChatSession)

        return await self._writes.create(owner, request, write)

    async def find_or_open(
        self, owner: Principal, external_id: str, new: schemas.NamedChatSession
    ) -> tuple[SessionRow, bool]:
        """Find the one of this external id, or open it; and tell whether it is new."""
        seal = await writing(self._writes.sealing, owner)
        values = opening(owner, new, external_id, seal)

        async def write(fetch: Fetch) -> SessionRow:
            return _not_past(await fetch(FIND_OR_OPEN, values), seal)

        session = await self._writes.at_once(owner, write)
        return session, session.id == values["session_id"]

    async def page(
        self,
        owner: Principal,
        listing: Listing,
        *,
        limit: int,
        after: Place | RecentPlace | None,
    ) -> list[SessionRow]:
        """List them, newest first; one more than `limit` if there are more."""
        async with self._general.session(owner.tenant_id) as session:
            repository = ChatSessionRepository(session, owner, reading(self._sealing, owner))
            return await repository.page(listing, rows=limit + 1, after=after)

    async def get(self, owner: Principal, session_id: UUID) -> SessionRow:
        rows = await self._general.fetch(FIND, owner.whose | {"session_id": session_id})
        sessions = sessions_of(rows, reading(self._sealing, owner))
        if not sessions:
            raise NotFound
        return sessions[0]

    async def change(
        self,
        owner: Principal,
        session_id: UUID,
        change: schemas.ChatSessionChange,
        expected: Expected,
    ) -> SessionRow:
        """Leave what is UNSET. Raises PreconditionFailed in another state than the one expected."""
        seal = await writing(self._writes.sealing, owner)

        async def write(session: GeneralSession) -> SessionRow:
            repository = ChatSessionRepository(session, owner, seal)
            await repository.check(session_id, expected)
            if change.expires_at and await repository.is_past(change.expires_at):
                raise Invalid.field("expires_at", NOT_PAST)
            return found(await repository.change(session_id, change))

        return await self._writes.in_transaction(owner, write)

    async def delete(self, owner: Principal, session_id: UUID, expected: Expected) -> None:
        async def write(session: GeneralSession) -> None:
            repository = ChatSessionRepository(session, owner, reading(self._sealing, owner))
            await repository.check(session_id, expected)
            if not await repository.remove(session_id):
                raise NotFound

        await self._writes.in_transaction(owner, write)

    async def fork(
        self,
        owner: Principal,
        session_id: UUID,
        position: int | None,
        request: KeyedRequest | None = None,
    ) -> schemas.ChatSession | bytes:
        """Copy it with its messages up to the position, or all.

        Those who append to it here wait without a connection, as they do for each other.
        """
        seal = await writing(self._writes.sealing, owner)
        fork = Fork(owner, session_id, position, seal)
        async with self._writes.turns.turn((owner.user_id, session_id)):
            if seal.opens is None:
                return await self._writes.create(owner, request, fork.copy)
            return await create_in_transaction(self._writes, owner, request, fork.reseal)


def opening(
    owner: Principal,
    new: schemas.NewChatSession | schemas.NamedChatSession,
    external_id: str | None,
    seal: Seal,
) -> dict[str, Any]:
    """Give the values that the statement OPEN takes."""
    session_id = uuid7()
    title = new.title if new.title is not None else DEFAULT_TITLE
    columns = seal.titled_columns(session_id, title, new.metadata)
    return owner.whose | {
        "session_id": session_id,
        **columns._asdict(),
        "external_id": external_id,
        "expires_at": new.expires_at,
        "created_by": owner.key_id,
        "seal_key": seal.key_id,
    }


def _not_past(rows: Any, seal: Seal) -> SessionRow:
    """Raises Invalid where no row came: the session would have expired, by the server's clock."""
    if not rows:
        raise Invalid.field("expires_at", NOT_PAST)
    return sessions_of(rows, seal)[0]
