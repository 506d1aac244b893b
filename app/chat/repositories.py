"""The sessions of one owner, in a transaction: their lists, and their changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from msgspec import UNSET
from msgspec.structs import asdict
from sqlalchemy import (
    DateTime,
    Result,
    Select,
    any_,
    asc,
    desc,
    func,
    literal,
    or_,
    select,
    text,
    tuple_,
    update,
)

from app.chat import metadata, schemas
from app.chat.etags import ANY, Expected, changed_meanwhile
from app.chat.models import ChatSession
from app.chat.session_rows import COLUMNS, Listing, SessionRow, sessions_of, unopened
from app.chat.words import Seal, cannot_read
from app.databases.sessions import GeneralSession
from app.http.errors import found
from app.http.paging import Place, RecentPlace, made_at
from app.http.security import Principal

CREATED = [ChatSession.created_at, ChatSession.id]
RECENT = [ChatSession.changed_minute, ChatSession.updated_at, ChatSession.id]
CHECK_OVERWRITE = text("SELECT check_overwrite(:tenant_id, :user_id)")
CHECK_KEY = text("SELECT check_write_under(:tenant_id, :user_id, :seal_key, NULL)")
# Every row; without it PostgreSQL takes no notice of the index.
IN_RECENT_INDEX = text("chat_sessions.changed_minute > '-infinity'")


class ChatSessionRepository(SQLAlchemyAsyncRepository[ChatSession]):
    """The sessions of one owner, in a transaction."""

    model_type = ChatSession

    def __init__(self, session: GeneralSession, owner: Principal, seal: Seal) -> None:
        super().__init__(session=session, wrap_exceptions=False)
        self._owner = owner.whose
        self._seal = seal

    async def page(
        self,
        listing: Listing,
        *,
        rows: int,
        after: Place | RecentPlace | None,
        oldest_first: bool = False,
    ) -> list[SessionRow]:
        """Read a page, newest first or oldest first by the database's clock.

        The minute of their last change is in the index; its time is not, else each append would
        have to write to the index. So a page by last change is cut at the end of a minute, and
        sorted. The subquery says so because PostgreSQL, which expects few sessions of anybody,
        might else sort all of them.
        """
        query = self._filtered(select(*COLUMNS).filter_by(**self._owner), listing)
        order, directed = RECENT if listing.is_recent else CREATED, asc if oldest_first else desc
        if after is not None:
            this, place = tuple_(*order), await self._known(after)
            query = query.where(this > place if oldest_first else this < place)
        if listing.is_recent:
            minutes = query.where(IN_RECENT_INDEX).order_by(directed(order[0]))
            page = minutes.fetch(rows, with_ties=True).subquery()
            query, order = select(page), [page.c[one.key] for one in order]
        query = query.order_by(*map(directed, order)).limit(rows)
        return self._read(await self.session.execute(query))

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

    async def change(
        self, session_id: UUID, change: schemas.ChatSessionChange
    ) -> SessionRow | None:
        """Set the columns. Without any, nothing is changed, the session's version neither.

        The owner's hold is asked about after the change and before COMMIT, which is early enough.
        """
        values = await self._columns(session_id, change)
        if not values:
            query = select(*COLUMNS).filter_by(id=session_id, **self._owner)
            return _only(self._read(await self.session.execute(query)))
        changed = update(ChatSession).filter_by(id=session_id, **self._owner)
        changed = changed.values(
            **values,
            version=ChatSession.version + 1,
            changed_minute=func.date_trunc("minute", func.now()),
        )
        rows = self._read(await self.session.execute(changed.returning(*COLUMNS)))
        if rows:
            await self.session.execute(CHECK_OVERWRITE, self._owner)
        return _only(rows)

    async def _columns(self, session_id: UUID, change: schemas.ChatSessionChange) -> dict[str, Any]:
        """Give the columns to set. What is sealed in one piece is read, and sealed anew as one."""
        values = {name: one for name, one in asdict(change).items() if one is not UNSET}
        if values.keys().isdisjoint(("title", "metadata")):
            return values
        if self._seal.opens is None:
            if "metadata" in values:
                pairs = values.pop("metadata")
                values["metadata_"] = metadata.stored(pairs)
                values["metadata_tags"] = metadata.tags(pairs)
            return values
        return await self._reworded(session_id, values)

    async def _reworded(self, session_id: UUID, values: dict[str, Any]) -> dict[str, Any]:
        """Take title and metadata from the values, and give the columns that say them.

        Raises Conflict where one of them is to stay and cannot be read.
        """
        query = (
            select(*COLUMNS).filter_by(id=session_id, **self._owner).with_for_update(key_share=True)
        )
        rows = unopened((await self.session.execute(query)).all())
        row = found(_only(rows))
        seal = self._seal.always() if row.sealed else self._seal
        if not {"title", "metadata"} <= values.keys():
            words = seal.titled_of(row)
            if words is None:
                raise cannot_read()
            values = {"title": words.title, "metadata": metadata.shown(words.metadata)} | values
        columns = seal.titled_columns(session_id, values.pop("title"), values.pop("metadata"))
        if seal.key_id:
            await self.session.execute(CHECK_KEY, self._owner | {"seal_key": seal.key_id})
        return values | {
            "title": columns.title,
            "metadata_": columns.metadata,
            "metadata_tags": columns.tags,
            "sealed": columns.sealed,
        }

    async def remove(self, session_id: UUID) -> bool:
        """Delete the session and, by the foreign key, its messages; a trigger asks for a hold."""
        return bool(await self.delete_where(id=session_id, **self._owner))

    def _read(self, result: Result[Any]) -> list[SessionRow]:
        return sessions_of(result.all(), self._seal)

    def _filtered(self, query: Select[Any], listing: Listing) -> Select[Any]:
        if listing.external_id is not None:
            return query.where(ChatSession.external_id == listing.external_id)
        if listing.pair is not None:
            tags = self._seal.tags_of(*listing.pair)
            return query.where(
                or_(*(literal(one) == any_(ChatSession.metadata_tags) for one in tags))
            )
        return query


def _only(rows: list[SessionRow]) -> SessionRow | None:
    return rows[0] if rows else None
