"""Reads an export line by line, person by person, and says of each bad line what is wrong with it.

The lines of a person are checked against each other before they count: positions that rise, as many
messages as their conversation says, and the digest where the export has one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple

import msgspec

from app.bridge.export.full_lines import VERSION, EndLine, HeadLine
from app.bridge.importing.faults import FAULTS, in_words
from app.bridge.importing.lines import ChatSession, Line, Message, Numbered, User, decode
from app.bridge.importing.people import Person
from app.http.errors import Invalid
from app.http.surrogates import Marked, decode_marked

LINE_BYTES = 32 << 20
LINE: Any = Line  # a union is no type to a checker
NOT_OF_PERSON = (User, HeadLine, EndLine)
Say = Callable[[str], None]


class Totals(NamedTuple):
    users: int = 0
    chat_sessions: int = 0
    messages: int = 0


class ImportFile:
    """Yields people, each of whom is read to the end before the next.

    `say` is called with a sentence about each bad line.
    """

    def __init__(self, file: BinaryIO, say: Say) -> None:
        self._file = file
        self._say = say
        self._number = 0
        self._next: Numbered | None = None
        self._hash = hashlib.sha256()
        self._is_full = False  # between the `export` line of a full export and its `end` line
        self._totals = Totals()
        self.bytes_read = 0
        self.faults = 0

    def people(self) -> Iterator[Person]:
        while (read := self._take()) is not None:
            match read.line:
                case User():
                    person = Person(read, self._take_of_person, self.fault, must_end=self._is_full)
                    yield person
                    person.drain()
                    self._count(person)
                case HeadLine():
                    self._begin(read, read.line)
                case EndLine():
                    self._end(read.number, read.line)
                case None:
                    pass
                case _:
                    self.fault(read.number, "There is no `user` line before it, whose it would be.")
        if self._is_full:
            self.fault(self._number, "The file was cut off after it: its `end` line is missing.")

    def _take_of_person(self) -> Numbered | None:
        """Return the next line, unless another person's or the file's end comes first."""
        read = self._take()
        if read is not None and isinstance(read.line, NOT_OF_PERSON):
            self._next = read
            return None
        return read

    def fault(self, number: int, words: str) -> None:
        self.faults += 1
        self._say(f"line {number}: {words}")

    def _take(self) -> Numbered | None:
        if self._next is not None:
            read, self._next = self._next, None
            return read
        while sent := self._file.readline(LINE_BYTES):
            self._number += 1
            self.bytes_read += len(sent)
            if len(sent) == LINE_BYTES:
                return self._too_long(sent)
            if not sent.isspace():
                return self._decoded(sent)
            self._hash.update(sent)
        return None

    def _too_long(self, sent: bytes) -> Numbered:
        while sent and not sent.endswith(b"\n"):
            self._hash.update(sent)
            sent = self._file.readline(LINE_BYTES)
            self.bytes_read += len(sent)
        self.fault(self._number, f"It is longer than {LINE_BYTES >> 20} MiB.")
        return Numbered(self._number, sent, None)

    def _decoded(self, sent: bytes) -> Numbered:
        line = None
        try:
            line = _read(sent)
        except FAULTS as error:
            self.fault(self._number, in_words(error))
        if not isinstance(line, EndLine):
            self._hash.update(sent)
        return Numbered(self._number, sent, line)

    def _count(self, person: Person) -> None:
        users, chat_sessions, messages = self._totals
        self._totals = Totals(
            users + 1, chat_sessions + person.chat_sessions, messages + person.messages
        )

    def _begin(self, read: Numbered, line: HeadLine) -> None:
        """Start counting and digesting; another export may have come before."""
        if line.version > VERSION:
            self.fault(read.number, "It was exported by a later version than this one.")
        if self._is_full:
            self.fault(read.number, "The export before it was cut off: its `end` line is missing.")
        self._is_full = True
        self._totals = Totals()
        self._hash = hashlib.sha256(read.sent)

    def _end(self, number: int, line: EndLine) -> None:
        """Compare what the file says of itself; another one may follow."""
        if self._totals != (line.users, line.chat_sessions, line.messages):
            self.fault(number, "There are not as many lines before it as it says.")
        elif self._hash.hexdigest() != line.sha256:
            self.fault(number, "The lines before it are not as they were exported.")
        self._is_full = False


def _read(sent: bytes) -> Line:
    try:
        return decode(sent)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:  # it may have halves of surrogate pairs
        line, found = decode_marked(sent, LINE)
        return _restored(line, found)


def _restored(line: Line, found: Marked) -> Line:
    """Put halves of surrogate pairs back, which content and an item's members alone may have."""
    if isinstance(line, Message):
        members = line.item_members and found.restored_json(line.item_members)
        bare = msgspec.structs.replace(line, content=msgspec.Raw(b'""'), item_members=None)
        whole = msgspec.structs.replace(
            line, content=found.restored_json(line.content), item_members=members
        )
    else:
        bare = whole = line
    if isinstance(line, ChatSession | Message) and found.mark in msgspec.json.encode(bare).decode():
        raise Invalid("Leave out half of a surrogate pair; `content` alone may have one.")
    return whole
