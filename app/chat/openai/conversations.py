"""Conversations are chat sessions: opened with items, listed, changed and deleted."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from app.chat import schemas
from app.chat.conversations import ChatSessionService, opening
from app.chat.creating import create_in_transaction
from app.chat.etags import ANY
from app.chat.fetching import Fetch
from app.chat.openai.columns import Prepared
from app.chat.openai.ids import conversation_id
from app.chat.openai.schemas import Conversation, ConversationList
from app.chat.openai.service import store
from app.chat.repositories import ChatSessionRepository
from app.chat.session_rows import Listing, SessionRow, sessions_of
from app.chat.sessions import OPEN
from app.chat.words import reading, writing
from app.chat.writes import Writes
from app.databases.database import Database
from app.databases.sessions import GeneralSession
from app.http.errors import found
from app.http.idempotency import KeyedRequest
from app.http.paging import Place
from app.http.security import Principal


class ConversationService:
    """Raises NotFound for another's conversation."""

    def __init__(self, general: Database[GeneralSession], writes: Writes) -> None:
        self._general = general
        self._writes = writes
        self._sessions = ChatSessionService(general, writes)

    async def open(
        self,
        owner: Principal,
        metadata: dict[str, str] | None,
        items: Sequence[Prepared],
        request: KeyedRequest | None = None,
    ) -> Conversation | bytes:
        """Open a conversation and store its first items, all in one transaction."""
        seal = await writing(self._writes.sealing, owner)
        values = opening(owner, schemas.NewChatSession(metadata=metadata), None, seal)

        async def write(fetch: Fetch) -> Conversation:
            session = sessions_of(await fetch(OPEN, values), seal)[0]
            if items:
                await store(fetch, owner, session.id, items, seal)
            return conversation(session)

        if items:
            return await create_in_transaction(self._writes, owner, request, write)
        return await self._writes.create(owner, request, write)

    async def page(
        self, owner: Principal, *, limit: int, after: UUID | None, newest: bool
    ) -> ConversationList:
        """List them by creation. Raises NotFound where `after` is not there."""
        async with self._general.session(owner.tenant_id) as session:
            sessions = ChatSessionRepository(session, owner, reading(self._writes.sealing, owner))
            place = after and Place(found(await sessions.created_at(after)), after)
            rows = await sessions.page(
                Listing(), rows=limit + 1, after=place, oldest_first=not newest
            )
        return _listed(rows, limit)

    async def get(self, owner: Principal, session_id: UUID) -> Conversation:
        return conversation(await self._sessions.get(owner, session_id))

    async def change(
        self, owner: Principal, session_id: UUID, metadata: dict[str, str] | None
    ) -> Conversation:
        """Replace the metadata."""
        change = schemas.ChatSessionChange(metadata=metadata)
        return conversation(await self._sessions.change(owner, session_id, change, ANY))

    async def delete(self, owner: Principal, session_id: UUID) -> None:
        """Its items are deleted with it."""
        await self._sessions.delete(owner, session_id, ANY)


def conversation(session: SessionRow) -> Conversation:
    shown = session.to(schemas.ChatSession)
    at = int(shown.created_at.timestamp())
    return Conversation(conversation_id(shown.id), at, shown.metadata)


def _listed(rows: Sequence[SessionRow], limit: int) -> ConversationList:
    page = [conversation(one) for one in rows[:limit]]
    first, last = (page[0].id, page[-1].id) if page else (None, None)
    return ConversationList(page, first, last, len(rows) > limit)
