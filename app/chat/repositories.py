"""The sessions of one owner: their rows, their lists, and their changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from msgspec import Struct
from sqlalchemy import (
    DateTime,
    Select,
    any_,
    asc,
    desc,
    func,
    literal,
    select,
    text,
    tuple_,
    update,
)

from app.chat import metadata, schemas
from app.chat.etags import ANY, Expected, changed_meanwhile, etag
from app.chat.models import ChatSession
from app.databases.records import StructsOf
from app.databases.sessions import GeneralSession
from app.http.errors import found
from app.http.paging import Place, RecentPlace, made_at
from app.http.security import Principal

C = TypeVar("C", bound=schemas.ChatSession)


class SessionRow(Struct, frozen=True):
    """The columns that are read of a session, wherever it is read."""

    id: UUID
    title: str
    message_count: int
    last_position: int | None
    version: int
    metadata: str | None
    external_id: str | None
    expires_at: datetime | None
    created_by: UUID | None
    forked_from_session: UUID | None
    forked_from_position: int
    created_at: datetime
    updated_at: datetime
    changed_minute: datetime

    @property
    def etag(self) -> str:
        return etag(self.version, self.updated_at)

    def to(self, shape: type[C]) -> C:
        """Show it to a client."""
        last, source = self.last_position, self.forked_from_session
        return shape(
            id=self.id,
            title=self.title,
            metadata=metadata.shown(self.metadata),
            external_id=self.external_id,
            message_count=self.message_count,
            last_position=self.message_count if last is None else last,
            expires_at=self.expires_at,
            created_by=self.created_by,
            forked_from=source and schemas.ForkedFrom(source, self.forked_from_position),
            created_at=self.created_at,
            updated_at=self.updated_at,
        )


sessions_of = StructsOf(SessionRow)
COLUMNS = [ChatSession.__table__.c[name] for name in SessionRow.__struct_fields__]
CREATED = [ChatSession.created_at, ChatSession.id]
RECENT = [ChatSession.changed_minute, ChatSession.updated_at, ChatSession.id]
CHECK_OVERWRITE = text("SELECT check_overwrite(:tenant_id, :user_id)")
# Every row; without it PostgreSQL takes no notice of the index.
IN_RECENT_INDEX = text("chat_sessions.changed_minute > '-infinity'")


class Listing(NamedTuple):
    """A list of sessions: those that it has, and their order, by creation or by last change."""

    is_recent: bool = False
    external_id: str | None = None
    pair: tuple[str, str] | None = None  # of the metadata

    def place_of(self, row: SessionRow) -> Place | RecentPlace:
        if self.is_recent:
            return RecentPlace(row.changed_minute, row.updated_at, row.id)
        return Place(row.created_at, row.id)

    def has(self, row: SessionRow) -> bool:
        """Compare the pair itself. The row was found by the pair's tag, which others may have."""
        if self.pair is None:
            return True
        key, value = self.pair
        return metadata.shown(row.metadata).get(key) == value


class ChatSessionRepository(SQLAlchemyAsyncRepository[ChatSession]):
    """The sessions of one owner, in a transaction."""

    model_type = ChatSession

    def __init__(self, session: GeneralSession, owner: Principal) -> None:
        super().__init__(session=session, wrap_exceptions=False)
        self._owner = owner.whose

    async def page(
        self,
        listing: Listing,
        *,
        rows: int,
        after: Place | RecentPlace | None,
        oldest_first: bool = False,
    ) -> list[SessionRow]:
        """Newest first, or oldest first, by the database's clock.

        The minute of their last change is in the index; its time is not, else each append would
        have to write to the index. So a page by last change is cut at the end of a minute, and
        sorted. The subquery says so because PostgreSQL, which expects few sessions of anybody,
        might else sort all of them.
        """
        query = _filtered(select(*COLUMNS).filter_by(**self._owner), listing)
        order, directed = RECENT if listing.is_recent else CREATED, asc if oldest_first else desc
        if after is not None:
            this, place = tuple_(*order), await self._known(after)
            query = query.where(this > place if oldest_first else this < place)
        if listing.is_recent:
            minutes = query.where(IN_RECENT_INDEX).order_by(directed(order[0]))
            page = minutes.fetch(rows, with_ties=True).subquery()
            query, order = select(page), [page.c[one.key] for one in order]
        query = query.order_by(*map(directed, order)).limit(rows)
        return sessions_of((await self.session.execute(query)).all())

    async def _known(self, place: Place | RecentPlace) -> Sequence[Any]:
        if isinstance(place, Place) and place.at is None:
            return await self.created_at(place.id) or made_at(place.id), place.id
        return tuple(place)

    async def created_at(self, session_id: UUID) -> datetime | None:
        query = select(ChatSession.created_at).filter_by(id=session_id, **self._owner)
        created_at: datetime | None = await self.session.scalar(query)
        return created_at

    async def check(self, session_id: UUID, expected: Expected) -> None:
        """Lock the session in the state that is expected.

        Raises NotFound, and PreconditionFailed for one that has changed.
        """
        if expected == ANY:
            return
        query = select(ChatSession.version, ChatSession.updated_at).with_for_update()
        row = (await self.session.execute(query.filter_by(id=session_id, **self._owner))).first()
        state = Expected(*found(row))
        if state != expected:
            raise changed_meanwhile(*found(row))

    async def is_past(self, moment: datetime) -> bool:
        """Compare with the clock that decides when a session has expired."""
        value = literal(moment, DateTime(timezone=True))
        return bool(await self.session.scalar(select(value <= func.now())))

    async def change(self, session_id: UUID, values: Mapping[str, Any]) -> SessionRow | None:
        """Set the columns. Without any, nothing is changed, the session's version neither.

        The owner's hold is asked about after the change and before COMMIT, which is early enough.
        """
        if not values:
            query = select(*COLUMNS).filter_by(id=session_id, **self._owner)
            return _only(sessions_of((await self.session.execute(query)).all()))
        changed = update(ChatSession).filter_by(id=session_id, **self._owner)
        changed = changed.values(
            **values,
            version=ChatSession.version + 1,
            changed_minute=func.date_trunc("minute", func.now()),
        )
        rows = sessions_of((await self.session.execute(changed.returning(*COLUMNS))).all())
        if rows:
            await self.session.execute(CHECK_OVERWRITE, self._owner)
        return _only(rows)

    async def remove(self, session_id: UUID) -> bool:
        """Delete the session and, by the foreign key, its messages; a trigger asks for a hold."""
        return bool(await self.delete_where(id=session_id, **self._owner))


def _filtered(query: Select[Any], listing: Listing) -> Select[Any]:
    if listing.external_id is not None:
        return query.where(ChatSession.external_id == listing.external_id)
    if listing.pair is not None:
        return query.where(literal(metadata.tag(*listing.pair)) == any_(ChatSession.metadata_tags))
    return query


def _only(rows: list[SessionRow]) -> SessionRow | None:
    return rows[0] if rows else None
