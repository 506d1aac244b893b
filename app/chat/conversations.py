"""Conversations: `chat_sessions` and what may be done with them.

Every statement names tenant and owner. Row level security would keep tenants apart without that,
but not one user from another; and past one machine the tenant in the statement is what routes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from msgspec import UNSET
from msgspec.structs import asdict
from sqlalchemy import text
from uuid_utils.compat import uuid7

from app.chat import metadata, schemas
from app.chat.etags import Expected
from app.chat.models import DEFAULT_TITLE
from app.chat.repositories import ChatSessionRepository, Listing, SessionRow, sessions_of
from app.chat.writes import Fetch, Writes
from app.databases.database import Database
from app.databases.sessions import GeneralSession
from app.databases.statement import Statement
from app.http.errors import Invalid, NotFound, found
from app.http.idempotency import KeyedRequest
from app.http.paging import Place, RecentPlace
from app.http.security import Principal

FORK_MESSAGES = 10_000
FORK_BYTES = 64 << 20
NOT_PAST = "Send a moment in the future, or null."


def _calling(function: str, *arguments: str, reads: bool = False) -> Statement:
    """Read a session from one of the functions in app/databases/sql/general: in one round trip."""
    values = ", ".join(f":{one}" for one in ("tenant_id", "user_id", "session_id", *arguments))
    return Statement(text(f"SELECT * FROM {function}({values})"), reads=reads)  # noqa: S608  # names of ours


NEW = ("title", "metadata", "tags", "external_id", "expires_at", "created_by", "not_after")
COPY = ("up_to", "fork", "created_by", "most_messages", "most_bytes", "not_after")
FIND = _calling("find_session", reads=True)
OPEN = _calling("open_session", *NEW)
FIND_OR_OPEN = _calling("find_or_open_session", *NEW, reads=True)
FORK = _calling("fork_session", *COPY)


class ChatSessionService:
    """Opens, reads, changes and deletes a person's conversations. Raises NotFound for another's."""

    def __init__(self, general: Database[GeneralSession], writes: Writes) -> None:
        self._general = general
        self._writes = writes

    async def open(
        self, owner: Principal, new: schemas.NewChatSession, request: KeyedRequest | None = None
    ) -> schemas.ChatSession | bytes:
        """Raises Invalid for one that has expired already; another's external id is a conflict."""
        values = opening(owner, new, new.external_id)

        async def write(fetch: Fetch) -> schemas.ChatSession:
            return _not_past(await fetch(OPEN, values)).to(schemas.ChatSession)

        return await self._writes.create(owner, request, write)

    async def find_or_open(
        self, owner: Principal, external_id: str, new: schemas.NamedChatSession
    ) -> tuple[SessionRow, bool]:
        """Find the one of this external id, or open it; and tell whether it is new."""
        values = opening(owner, new, external_id)

        async def write(fetch: Fetch) -> SessionRow:
            return _not_past(await fetch(FIND_OR_OPEN, values))

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
        """Newest first, one more than `limit` if there are more."""
        async with self._general.session(owner.tenant_id) as session:
            repository = ChatSessionRepository(session, owner)
            return await repository.page(listing, rows=limit + 1, after=after)

    async def get(self, owner: Principal, session_id: UUID) -> SessionRow:
        sessions = sessions_of(
            await self._general.fetch(FIND, owner.whose | {"session_id": session_id})
        )
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

        async def write(session: GeneralSession) -> SessionRow:
            repository = ChatSessionRepository(session, owner)
            await repository.check(session_id, expected)
            if change.expires_at and await repository.is_past(change.expires_at):
                raise Invalid.field("expires_at", NOT_PAST)
            return found(await repository.change(session_id, _changed(change)))

        return await self._writes.in_transaction(owner, write)

    async def delete(self, owner: Principal, session_id: UUID, expected: Expected) -> None:
        async def write(session: GeneralSession) -> None:
            repository = ChatSessionRepository(session, owner)
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
        values = owner.whose | {
            "session_id": session_id,
            "up_to": position,
            "fork": uuid7(),
            "created_by": owner.key_id,
            "most_messages": FORK_MESSAGES,
            "most_bytes": FORK_BYTES,
        }

        async def write(fetch: Fetch) -> schemas.ChatSession:
            forks = sessions_of(await fetch(FORK, values))
            if not forks:
                raise NotFound
            return forks[0].to(schemas.ChatSession)

        async with self._writes.turn((owner.user_id, session_id)):
            return await self._writes.create(owner, request, write)


def opening(
    owner: Principal,
    new: schemas.NewChatSession | schemas.NamedChatSession,
    external_id: str | None,
) -> dict[str, Any]:
    """Give the values that OPEN takes."""
    return owner.whose | {
        "session_id": uuid7(),
        "title": new.title if new.title is not None else DEFAULT_TITLE,
        "metadata": metadata.stored(new.metadata),
        "tags": metadata.tags(new.metadata),
        "external_id": external_id,
        "expires_at": new.expires_at,
        "created_by": owner.key_id,
    }


def _changed(change: schemas.ChatSessionChange) -> Mapping[str, Any]:
    values = {name: value for name, value in asdict(change).items() if value is not UNSET}
    if "metadata" in values:
        pairs = values.pop("metadata")
        values |= {"metadata_": metadata.stored(pairs), "metadata_tags": metadata.tags(pairs)}
    return values


def _not_past(rows: Any) -> SessionRow:
    """Nothing was opened that has expired already, by the server's clock."""
    if not rows:
        raise Invalid.field("expires_at", NOT_PAST)
    return sessions_of(rows)[0]
