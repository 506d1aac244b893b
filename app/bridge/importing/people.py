"""One person's lines in an export: checked against each other, and handed on in pieces."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import NamedTuple
from uuid import UUID

from app.bridge.export.full_lines import (
    StoredMessage,
    StoredSession,
    UserEndLine,
    message_line,
    session_line,
)
from app.bridge.importing import digests
from app.bridge.importing.faults import FAULTS, in_words
from app.bridge.importing.lines import (
    AuditEvent,
    ChatSession,
    Hold,
    LoginAddress,
    Message,
    Numbered,
    User,
)
from app.bridge.importing.rows import stored_message, stored_session
from app.http.errors import Invalid

ROWS = 2000
BYTES = 4 << 20


class Piece:
    """Some rows of a person; sessions come before the messages in them."""

    def __init__(self) -> None:
        self.sessions = list[StoredSession]()
        self.messages = list[StoredMessage]()
        self.bytes = 0

    @property
    def rows(self) -> int:
        return len(self.sessions) + len(self.messages)

    @property
    def is_full(self) -> bool:
        return self.rows >= ROWS or self.bytes >= BYTES


class Conversation:
    """A conversation, the number of its line, and which of its messages have been read so far."""

    __slots__ = ("digest", "last", "line", "row", "seen")

    def __init__(self, line: int, row: StoredSession, written: bytes) -> None:
        self.line = line
        self.row = row
        self.digest = digests.Conversation(written)
        self.seen = 0
        self.last = 0


class Whose(NamedTuple):
    tenant_id: UUID
    user_id: UUID

    def __str__(self) -> str:
        return f"user {self.user_id} of tenant {self.tenant_id}"


class Person:
    """Somebody whom a `user` line names; `is_good` is final once all their lines are read."""

    def __init__(
        self,
        first: Numbered,
        take: Callable[[], Numbered | None],
        fault: Callable[[int, str], None],
        *,
        must_end: bool,
    ) -> None:
        assert isinstance(first.line, User)  # noqa: S101  # the reader has looked
        self.whose = Whose(first.line.tenant_id, first.line.id)
        self.line = first.number
        self.sum = digests.Sum()
        self.chat_sessions = 0
        self.messages = 0
        self.is_read = False
        self.is_good = True
        self._next = take
        self._say = fault
        # A full export writes the same stored row as the same line, so its lines are digested as
        # they are; those of another are written anew first.
        self._is_exact = self._must_end = must_end
        self._hash = hashlib.sha256(first.sent)
        self._is_ended = False
        self._conversations: dict[UUID, Conversation] = {}
        self._pieces = self._read()

    def pieces(self) -> Iterator[Piece]:
        """Go on reading. A person who has turned out to be bad has no rows any more."""
        return self._pieces

    def drain(self) -> None:
        for _ in self._pieces:
            pass

    def _read(self) -> Iterator[Piece]:
        piece = Piece()
        while (read := self._next()) is not None:
            if isinstance(read.line, UserEndLine):
                self._end(read.number, read.line)
                break
            self._hash.update(read.sent)
            self._take(read, piece)
            if piece.is_full and self.is_good:
                yield piece
                piece = Piece()
            elif not self.is_good:
                piece = Piece()
        self._finish()
        self.is_read = True
        if self.is_good and piece.rows:
            yield piece

    def _take(self, read: Numbered, piece: Piece) -> None:
        try:
            match read.line:
                case Message():
                    self._message(read, read.line, piece)
                case ChatSession():
                    self._session(read, read.line, piece)
                case AuditEvent() | LoginAddress() | Hold():
                    pass  # moved with the user database
                case _:
                    self.is_good = False  # the reader has said why
        except FAULTS as error:
            self._fault(read.number, in_words(error))
        piece.bytes += len(read.sent)

    def _session(self, read: Numbered, line: ChatSession, piece: Piece) -> None:
        row = stored_session(line)
        if row.id in self._conversations:
            raise Invalid(f"The conversation {row.id} comes twice.")
        written = read.sent if self._is_exact else session_line(row)
        self._conversations[row.id] = Conversation(read.number, row, written)
        self.chat_sessions += 1
        piece.sessions.append(row)

    def _message(self, read: Numbered, line: Message, piece: Piece) -> None:
        conversation = self._conversations.get(line.session_id)
        if conversation is None:
            raise Invalid(f"There is no conversation {line.session_id} of this person before it.")
        if line.position <= conversation.last:
            raise Invalid(f"The position {line.position} comes twice, or after a later one.")
        conversation.last = line.position
        conversation.seen += 1
        row = stored_message(line)
        self.messages += 1
        conversation.digest.add(read.sent if self._is_exact else message_line(row))
        piece.messages.append(row)

    def _end(self, number: int, line: UserEndLine) -> None:
        self._is_ended = True
        counts = (self.whose.user_id, self.chat_sessions, self.messages)
        if not self.is_good:
            return
        if counts != (line.user_id, line.chat_sessions, line.messages):
            self._fault(number, "There are not as many lines before it as it says.")
        elif self._hash.hexdigest() != line.sha256:
            self._fault(number, "The lines before it are not as they were exported.")

    def _finish(self) -> None:
        if not self.is_good:
            return
        if self._must_end and not self._is_ended:
            self._fault(self.line, "The lines of this person are cut off.")
            return
        for one in self._conversations.values():
            self.sum.add(one.digest.digest)
            if one.seen != one.row.message_count:
                said = f"The conversation has {one.row.message_count} messages, the file {one.seen}"
                self._fault(one.line, f"{said}: cut off, or written to while it was exported.")
            elif one.last > (one.row.last_position or one.row.message_count):
                self._fault(one.line, "The conversation has messages after its last position.")

    def _fault(self, number: int, words: str) -> None:
        self.is_good = False
        self._say(number, words)
