"""Seals and opens what the rows of chat say, under the key of the person who owns them.

A sealed row has all that is said in one piece, which can be opened at its own place only. Plain and
sealed rows lie side by side while they are converted, and each is read as what it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import msgspec

from app.chat import metadata
from app.databases.sealing.opening import Place, RowsOf, open_at, seal_at
from app.databases.sealing.person_keys import PersonKey
from app.databases.sealing.sealing import Sealing
from app.http.errors import Conflict
from app.http.security import Principal

HEAD_BYTES = 13  # of sealed bytes: a version and a nonce, which no two have
CANNOT_READ = "What is there cannot be read, so nothing of it can be kept; send all of it anew."


class Words(NamedTuple):
    """All that a message says, as its columns have it; `digest` is of the first request."""

    content: str
    parts: str | None = None
    metadata: str | None = None
    members: str | None = None
    digest: bytes | None = None

    @property
    def size(self) -> int:
        """Count the bytes that an answer has of it."""
        said = msgspec.json.encode(self.content) if self.parts is None else self.parts.encode()
        others = (one.encode() for one in (self.metadata, self.members) if one)
        return len(said) + sum(map(len, others))


class Columns(NamedTuple):
    """The columns of a message; `digest` is the one that is stored."""

    content: str
    parts: str | None
    metadata: str | None
    members: str | None
    digest: bytes | None
    sealed: bytes | None = None
    size: int | None = None


class Titled(NamedTuple):
    """All that a session says."""

    title: str
    metadata: str | None


class TitledColumns(NamedTuple):
    """The columns of a session that say it; `tags` are what its metadata are found by."""

    title: str
    metadata: str | None
    tags: list[bytes] | None
    sealed: bytes | None = None


class StoredTitle(Protocol):
    """The columns of a session that say something."""

    @property
    def id(self) -> UUID: ...
    @property
    def title(self) -> str | None: ...
    @property
    def metadata(self) -> str | None: ...
    @property
    def sealed(self) -> bytes | None: ...


_encode = msgspec.msgpack.encode
_words = msgspec.msgpack.Decoder(Words).decode
_titled = msgspec.msgpack.Decoder(Titled).decode


class Seal:
    """Seals and opens one person's rows. Raises KeyUnavailableError for a sealed one without a key.

    Where `is_sealing`, new rows are sealed. Where it is not, the key still opens those that were.
    """

    __slots__ = ("_key", "_rows", "_tenant_id", "is_sealing")

    def __init__(self, tenant_id: UUID, key: PersonKey | None, *, is_sealing: bool) -> None:
        self._tenant_id = tenant_id
        self._key = key
        self._rows: RowsOf | None = None  # those of the session that was read last
        self.is_sealing = is_sealing

    @property
    def opens(self) -> PersonKey | None:
        """Give the key that opens what is sealed."""
        return self._key

    @property
    def key(self) -> PersonKey | None:
        """Give the key that new rows are sealed under; None where they stay plain."""
        return self._key if self.is_sealing else None

    @property
    def key_id(self) -> UUID | None:
        return self._key.id if self._key and self.is_sealing else None

    def always(self) -> Seal:
        """Return a seal for a row that is sealed already, which stays so whatever new rows are."""
        return self if self.is_sealing else Seal(self._tenant_id, self._key, is_sealing=True)

    def digest(self, digest: bytes) -> bytes:
        """Make the digest that is stored in a sealed row."""
        return self._key.digest(digest) if self._key else digest

    def columns(self, session_id: UUID, message_id: UUID, words: Words) -> Columns:
        """Give the columns of a message that says this."""
        if self._key is None or not self.is_sealing:
            return Columns(*words)
        where = Place("messages", self._tenant_id, session_id, message_id)
        sealed = seal_at(self._key, _encode(words), where)
        digest = words.digest and self._key.digest(words.digest)
        return Columns("", None, None, None, digest, sealed, words.size)

    def words_of(self, session_id: UUID, row: Any) -> Words | None:
        """Read what a message says, from its columns; None for what cannot be opened."""
        if row.sealed is not None:
            return self.words(session_id, row.id, row.sealed)
        return Words(row.content, row.parts, row.metadata, row.item_members, row.client_digest)

    def words(self, session_id: UUID, message_id: UUID, sealed: bytes) -> Words | None:
        """Open a message; None for what cannot be opened."""
        rows = self._rows
        if rows is None or rows.session_id != session_id:
            rows = self._rows = RowsOf("messages", self._tenant_id, session_id)
        text = rows.open(self._key, sealed, message_id)
        return None if text is None else _words(text)

    def titled_columns(
        self, session_id: UUID, title: str, pairs: Mapping[str, str] | None
    ) -> TitledColumns:
        """Give the columns of a session with this title and these metadata."""
        text = metadata.stored(pairs)
        if self._key is None or not self.is_sealing:
            return TitledColumns(title, text, metadata.tags(pairs))
        where = Place("chat_sessions", self._tenant_id, session_id, session_id)
        sealed = seal_at(self._key, _encode(Titled(title, text)), where)
        tags = sorted(self._key.tag(*pair) for pair in pairs.items()) if pairs else None
        return TitledColumns("", None, tags, sealed)

    def titled_of(self, row: StoredTitle) -> Titled | None:
        """Read what a session says, from its columns; None for what cannot be opened."""
        if row.sealed is not None:
            return self.titled(row.id, row.sealed)
        return Titled(row.title or "", row.metadata)

    def titled(self, session_id: UUID, sealed: bytes) -> Titled | None:
        """Open a session; None for what cannot be opened."""
        where = Place("chat_sessions", self._tenant_id, session_id, session_id)
        text = open_at(self._key, sealed, where)
        return None if text is None else _titled(text)

    def tags_of(self, key: str, value: str) -> Sequence[bytes]:
        """Give the tags that a session with this pair may have, plain and sealed."""
        plain = metadata.tag(key, value)
        return [plain] if self._key is None else [plain, self._key.tag(key, value)]


def plain(person: Principal) -> Seal:
    """Leave what is written plain, and open nothing."""
    return Seal(person.tenant_id, None, is_sealing=False)


def reading(sealing: Sealing, person: Principal) -> Seal:
    """Open what a person's rows say."""
    return Seal(person.tenant_id, sealing.reading(person), is_sealing=False)


async def writing(sealing: Sealing, person: Principal) -> Seal:
    """Seal what a person says, where sealing is on. Their first key is committed first."""
    key = await sealing.writing(person)
    if key is None:
        return reading(sealing, person)
    return Seal(person.tenant_id, key, is_sealing=True)


def cannot_read() -> Conflict:
    return Conflict(CANNOT_READ)
