"""Messages: appended to a conversation, in one round trip.

The statements call the functions in app/databases/sql/general, which set the tenant themselves.
"""

from __future__ import annotations

import itertools
import time
from asyncio import Semaphore
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from asyncpg import PostgresError
from msgspec import Raw
from sqlalchemy import text
from uuid_utils.compat import uuid7

from app.chat import metadata, parts
from app.chat.appended import Appended
from app.chat.arrays import arrays_of
from app.chat.client_ids import check_client_ids, digest_of
from app.chat.etags import ANY, Expected, changed_meanwhile
from app.chat.fetching import Fetch
from app.chat.rows import MESSAGE_COLUMNS, NO_METADATA, messages_of
from app.chat.schemas import Message, Messages, NewMessage
from app.chat.words import Columns, Seal, Words, plain, writing
from app.chat.writes import HOLDS_SECONDS, Writes
from app.databases.statement import Statement
from app.http.errors import Conflict, NotFound
from app.http.exchange import etag
from app.http.idempotency import KeyedRequest
from app.http.security import Principal

STORE_ONE = Statement(
    text(
        "SELECT * FROM write_message(:tenant_id, :user_id, :session_id, :id, :role, :content,"
        " :parts, :metadata, :status, :author, :version, :at, :sealed, :size, :seal_key,"
        " :not_after)"
    )
)
STORE_MANY = Statement(
    text(
        "SELECT * FROM write_messages(:tenant_id, :user_id, :session_id, :ids, :roles, :contents,"
        " :parts, :metadata, :statuses, :client_ids, :digests, :plain_digests, :author, :version,"
        " :at, :sealed, :sizes, :seal_key, :not_after)"
    )
)
# A row of STORE_MANY has the columns of a message, and then these.
POSITION, UPDATED_AT = map(MESSAGE_COLUMNS.index, ("position", "updated_at"))
ORDINAL, IS_SAME, VERSION = range(len(MESSAGE_COLUMNS), len(MESSAGE_COLUMNS) + 3)
OTHER_CONTENT = "A message with this client_id is there already, and it was another one."

T = TypeVar("T")


class Prepared(NamedTuple):
    """A message, and what it says, under the id that it keeps however often it is tried."""

    id: UUID
    sent: NewMessage
    words: Words

    def shown(self, session_id: UUID, position: int, actor: Principal, at: datetime) -> Message:
        content, parts, pairs, *_ = self.words
        return Message(
            self.id,
            session_id,
            position,
            self.sent.role,
            content if parts is None else Raw(parts.encode()),
            NO_METADATA if pairs is None else Raw(pairs.encode()),
            self.sent.client_id,
            self.sent.status,
            actor.key_id,
            at,
            at,
        )


def prepared(sent: NewMessage, path: str = "") -> Prepared:
    """Raises Invalid; `path` is where the message was."""
    pairs = metadata.stored(sent.metadata) if sent.metadata else None
    content, parts = content_columns(sent.content, f"{path}content")
    digest = digest_of(sent, content, parts) if sent.client_id else None
    return Prepared(uuid7(), sent, Words(content, parts, pairs, digest=digest))


def content_columns(content: str | Sequence[Raw], path: str) -> tuple[str, str | None]:
    """Give the columns `content` and `parts`: a text that its column holds is all there is."""
    if type(content) is str and "\0" not in content:
        return content, None
    return parts.stored(content, path)


class MessageRepository:
    """Appends to one owner's conversation. Raises NotFound if it is not there, or another's."""

    def __init__(
        self,
        fetch: Fetch,
        owner: Principal,
        session_id: UUID,
        seal: Seal | None,
        expected: Expected = ANY,
    ) -> None:
        self._fetch = fetch
        self._seal = seal
        self._owner = owner
        self._session_id = session_id
        self._place = owner.whose | {
            "session_id": session_id,
            "author": owner.key_id,
            "version": expected.version,
            "at": expected.at,
            "seal_key": seal.key_id if seal else None,
        }

    async def append(self, messages: Sequence[Prepared]) -> Appended[list[Message]]:
        """Append all or none, in the order given, at the session's next positions.

        Raises PreconditionFailed where the session is not in the expected state, and Conflict
        where a client's id belongs to another message.
        """
        if len(messages) == 1 and messages[0].sent.client_id is None:
            return await self._append_one(messages[0])
        columns = arrays_of(messages, self._session_id, self._seal or plain(self._owner))
        rows = await self._fetch(STORE_MANY, self._place | columns)
        if not rows:
            raise NotFound
        return self._appended(messages, rows)

    async def _append_one(self, message: Prepared) -> Appended[list[Message]]:
        words, seal = message.words, self._seal
        columns = seal.columns(self._session_id, message.id, words) if seal else Columns(*words)
        values = {
            **self._place,
            **columns._asdict(),
            "id": message.id,
            "role": message.sent.role,
            "status": message.sent.status,
        }
        rows = await self._fetch(STORE_ONE, values)
        if not rows:
            raise NotFound
        position, version, at = rows[0]
        if position is None:
            raise changed_meanwhile(version, at)
        shown = message.shown(self._session_id, position, self._owner, at)
        return Appended([shown], etag(version, at), (position, position))

    def _appended(
        self, messages: Sequence[Prepared], rows: Sequence[Any]
    ) -> Appended[list[Message]]:
        """The last row is the session's; the others are messages that were there already."""
        *known, session = rows
        shown_already = messages_of(known, self._session_id, self._seal or plain(self._owner))
        if not all(row[IS_SAME] for row in known):
            raise Conflict(OTHER_CONTENT)
        there = dict(zip((row[ORDINAL] for row in known), shown_already, strict=True))
        position: int | None = session[POSITION]
        version, at = session[VERSION], session[UPDATED_AT]
        if position is None and len(there) < len(messages):
            raise changed_meanwhile(version, at)
        positions = itertools.count(position or 0)
        shown = [
            there.get(ordinal) or message.shown(self._session_id, next(positions), self._owner, at)
            for ordinal, message in enumerate(messages, 1)
        ]
        quoted = [message.position for message in shown]
        places = min(quoted), max(quoted)
        return Appended(shown, etag(version, at), places, is_new=position is not None)


class MessageService:
    """Appends to a person's conversation. Raises NotFound for another's."""

    def __init__(self, writes: Writes) -> None:
        self._writes = writes

    async def append(
        self,
        owner: Principal,
        session_id: UUID,
        message: NewMessage,
        expected: Expected = ANY,
        request: KeyedRequest | None = None,
    ) -> Appended[Message | bytes]:
        return await self._append(owner, session_id, [prepared(message)], expected, request, _only)

    async def append_all(
        self,
        owner: Principal,
        session_id: UUID,
        messages: Sequence[NewMessage],
        expected: Expected = ANY,
        request: KeyedRequest | None = None,
    ) -> Appended[Messages | bytes]:
        check_client_ids(messages)
        all_of = [prepared(one, f"messages[{number}].") for number, one in enumerate(messages)]
        return await self._append(owner, session_id, all_of, expected, request, Messages)

    async def _append(
        self,
        owner: Principal,
        session_id: UUID,
        messages: Sequence[Prepared],
        expected: Expected,
        request: KeyedRequest | None,
        answer: Callable[[list[Message]], T],
    ) -> Appended[T | bytes]:
        sealing = self._writes.sealing
        is_sealed = owner.is_sealing or owner.wrapped_key or sealing.may_be_new
        seal = await writing(sealing, owner) if is_sealed else None

        async def write(fetch: Fetch) -> Appended[T]:
            repository = MessageRepository(fetch, owner, session_id, seal, expected)
            appended = await repository.append(messages)
            return Appended(answer(appended.answer), *appended[1:])

        turn = self._writes.turns.all.setdefault((owner.user_id, session_id), Semaphore())
        if request is not None or turn.locked():
            return await self._writes.append(owner, session_id, request, write)
        async with turn:
            return await self._append_at_once(owner, write)

    async def _append_at_once(
        self, owner: Principal, write: Callable[[Fetch], Awaitable[Appended[T]]]
    ) -> Appended[T]:
        """Write by the look-up of this request, which nearly always counts still; see writes.py."""
        not_after = owner.looked_up_at + HOLDS_SECONDS
        if time.monotonic() > not_after:  # a large body took so long to check
            return await self._writes.at_once(owner, write)
        try:
            return await write(partial(self._writes.fetch, not_after=not_after))
        except PostgresError as error:
            return await self._writes.once_more(owner, write, error)


def _only(messages: list[Message]) -> Message:
    return messages[0]
