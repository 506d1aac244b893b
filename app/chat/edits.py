"""One message of a conversation is read, edited or deleted, and a conversation's end is cut off.

Each is one round trip, to a function in app/databases/sql/general. The functions lock the
conversation's row before they look, so that what `If-Match` says is true until they commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Annotated, Any, NamedTuple
from uuid import UUID

from msgspec import UNSET, Meta, Struct
from sqlalchemy import text

from app.chat.etags import ANY, Expected, changed_meanwhile, etag
from app.chat.fetching import Fetch
from app.chat.rewording import StoredMessage, changes, edited
from app.chat.rows import MESSAGE_COLUMNS, messages_of
from app.chat.schemas import Message, MessageEdit
from app.chat.words import HEAD_BYTES, Seal, reading, writing
from app.chat.writes import Writes
from app.databases.database import Database
from app.databases.sessions import GeneralSession
from app.databases.statement import Statement
from app.http.errors import NotFound, Unavailable
from app.http.security import Principal

OTHER = "other"  # of the refusals of change_message
ATTEMPTS = 5  # at an edit that other processes are faster with
LAST_POSITION = 2**53 - 1  # no conversation comes to it, and it is exact in every JSON reader
FIND = Statement(
    text("SELECT * FROM get_message(:tenant_id, :user_id, :session_id, :position)"), reads=True
)
EDIT = Statement(
    text(
        "SELECT * FROM change_message(:tenant_id, :user_id, :session_id, :position, :version, :at,"
        " :any_role, :is_reworded, :has_content, :content, :parts, :has_metadata, :metadata,"
        " :status, :sealed, :size, :digest, :seen, :seen_at, :seal_key, :not_after)"
    )
)
DELETE = Statement(
    text(
        "SELECT * FROM delete_messages"
        "(:tenant_id, :user_id, :session_id, :first, :last, :version, :at, :not_after)"
    )
)


class DeletedMessages(Struct, frozen=True):
    deleted: Annotated[int, Meta(ge=0, examples=[3])]


class Tagged(NamedTuple):
    """A message, and the present state of its conversation."""

    message: Message
    version: int
    changed_at: datetime

    @property
    def etag(self) -> str:
        return etag(self.version, self.changed_at)


class Deleted(NamedTuple):
    """Counts the messages that are gone, and has the tag of their conversation's present state."""

    messages: int
    etag: str


class Deletion(NamedTuple):
    """The row that delete_messages gives back."""

    is_there: bool
    is_expected: bool
    deleted: int
    version: int
    changed_at: datetime

    def done(self) -> Deleted:
        """Raises PreconditionFailed."""
        if not self.is_expected:
            raise changed_meanwhile(self.version, self.changed_at)
        return Deleted(self.deleted, etag(self.version, self.changed_at))


class EditService:
    """Reads, edits and deletes messages of a person's conversation by position.

    Raises NotFound for what is not there or another's, and PreconditionFailed for a conversation
    that is not in the state expected.
    """

    def __init__(self, general: Database[GeneralSession], writes: Writes) -> None:
        self._general = general
        self._writes = writes

    async def get(self, owner: Principal, session_id: UUID, position: int) -> Tagged:
        values = owner.whose | {"session_id": session_id, "position": _real(position)}
        rows = await self._general.fetch(FIND, values)
        return _tagged(session_id, rows, reading(self._writes.sealing, owner))

    async def edit(
        self,
        owner: Principal,
        session_id: UUID,
        position: int,
        edit: MessageEdit,
        expected: Expected,
    ) -> Tagged:
        """Raises Forbidden for a caller who may edit the role `user` alone."""
        if edit == MessageEdit():
            return await self._unchanged(owner, session_id, position, expected)
        seal = await writing(self._writes.sealing, owner)
        place = owner.whose | {"session_id": session_id, "position": _real(position)}
        values = place | {"any_role": owner.writes_any_role, **expected._asdict()}
        change = changes(edit) | {"seal_key": seal.always().key_id}

        async def write(fetch: Fetch) -> Tagged:
            for attempts_left in reversed(range(ATTEMPTS)):
                sealed = await self._resealed(place, edit, seal)
                rows = await fetch(EDIT, values | change | sealed)
                if not (attempts_left and rows and rows[0][-1] == OTHER):
                    _check(rows, owner)
                    return _tagged(session_id, rows, seal)
            raise Unavailable

        async with self._turn(owner, session_id):
            return await self._writes.at_once(owner, write)

    async def _resealed(
        self, place: Mapping[str, Any], edit: MessageEdit, seal: Seal
    ) -> dict[str, Any]:
        """Give the columns of the message as the edit leaves it, where that is sealed.

        It is sealed in one piece, so it is read first, and written only if it is still the same.
        """
        if seal.opens is None or (edit.content is UNSET and edit.metadata is UNSET):
            return {}
        rows = await self._general.fetch(FIND, place)
        if not rows:
            raise NotFound
        row = StoredMessage(*rows[0])
        if row.sealed is None and not seal.is_sealing:
            return {}
        words = seal.words_of(place["session_id"], row)
        columns = seal.always().columns(place["session_id"], row.id, edited(words, edit))
        return {
            "has_content": True,
            "has_metadata": True,
            **columns._asdict(),
            "seen": row.sealed and row.sealed[:HEAD_BYTES],
            "seen_at": row.updated_at,
        }

    async def _unchanged(
        self, owner: Principal, session_id: UUID, position: int, expected: Expected
    ) -> Tagged:
        found = await self.get(owner, session_id, position)
        if expected not in (ANY, (found.version, found.changed_at)):
            raise changed_meanwhile(found.version, found.changed_at)
        return found

    async def delete(
        self, owner: Principal, session_id: UUID, position: int, expected: Expected
    ) -> Deleted:
        """Delete one message. Its position is not given again."""
        place = _real(position)
        deletion = await self._delete(owner, session_id, (place, place), expected)
        if not deletion.is_there:
            raise NotFound
        return deletion.done()

    async def delete_after(
        self, owner: Principal, session_id: UUID, position: int, expected: Expected
    ) -> Deleted:
        """Delete all messages past the position: at once, however many they are."""
        places = (position + 1, LAST_POSITION + 1)
        return (await self._delete(owner, session_id, places, expected)).done()

    async def _delete(
        self, owner: Principal, session_id: UUID, places: tuple[int, int], expected: Expected
    ) -> Deletion:
        values = owner.whose | {"session_id": session_id, "first": places[0], "last": places[1]}

        async def write(fetch: Fetch) -> Deletion:
            rows = await fetch(DELETE, values | expected._asdict())
            if not rows:
                raise NotFound
            return Deletion(*rows[0])

        async with self._turn(owner, session_id):
            return await self._writes.however_long(owner, write)

    def _turn(self, owner: Principal, session_id: UUID) -> AbstractAsyncContextManager[None]:
        """Appends to the same conversation wait here, too; see turns.py."""
        return self._writes.turns.turn((owner.user_id, session_id))


def _real(position: int) -> int:
    if not 0 < position <= LAST_POSITION:
        raise NotFound
    return position


def _check(rows: Sequence[Any], owner: Principal) -> None:
    """Raises for what change_message has not done."""
    if not rows:
        raise NotFound
    *_, version, changed_at, refusal = rows[0]
    if refusal == "changed":
        raise changed_meanwhile(version, changed_at)
    if refusal == OTHER:
        raise Unavailable
    if refusal == "role":
        owner.check_role_of([rows[0][2]])


def _tagged(session_id: UUID, rows: Sequence[Any], seal: Seal) -> Tagged:
    if not rows:
        raise NotFound
    [message] = messages_of(rows, session_id, seal)
    *_, version, changed_at = rows[0][: len(MESSAGE_COLUMNS) + 2]
    return Tagged(message, version, changed_at)
