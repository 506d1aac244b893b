"""The history of one conversation's clients, and checks that one conversation explains it.

Each text and each title is written by one request only, so a row tells whose it is. A request that
was never acknowledged may have taken effect or not, at any time after it began.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from sys import maxsize
from typing import NamedTuple

NEVER = maxsize


@dataclass(kw_only=True)
class Span:
    """Spans the time from before a request to after its answer, on the history's own clock."""

    began: int
    ended: int = NEVER

    def precedes(self, other: Span) -> bool:
        return self.ended < other.began


@dataclass(kw_only=True)
class Append(Span):
    """`positions` as acknowledged. One with a key ends when a retry has been acknowledged."""

    texts: list[str]
    positions: list[int] = field(default_factory=list[int])


@dataclass(kw_only=True)
class Rename(Span):
    title: str


@dataclass(kw_only=True)
class Edit(Span):
    """Says something else at a position that an append was acknowledged with."""

    position: int
    text: str


@dataclass(kw_only=True)
class Read(Span):
    """`newest`: so many messages it showed there are; `rows`: those it showed."""

    newest: int = 0
    rows: dict[int, str] = field(default_factory=dict[int, str])
    title: str | None = None


@dataclass
class History:
    """Only reads that were answered are in it."""

    appends: list[Append] = field(default_factory=list[Append])
    renames: list[Rename] = field(default_factory=list[Rename])
    edits: list[Edit] = field(default_factory=list[Edit])
    reads: list[Read] = field(default_factory=list[Read])
    clock: Iterator[int] = field(default_factory=lambda: count(1))


class Stored(NamedTuple):
    """The conversation in the database, when everybody has gone; rows by position."""

    rows: list[tuple[int, str]]
    title: str
    message_count: int


class Anomaly(NamedTuple):
    kind: str
    what: str


def anomalies(history: History, stored: Stored) -> list[Anomaly]:
    """None, if all the promises were kept."""
    found = [Anomaly(lost_edit.__name__, what) for what in lost_edit(history, stored)]
    history, stored = _unedited(history, stored)
    return found + [
        Anomaly(check.__name__, what) for check in CHECKS for what in check(history, stored)
    ]


def lost_edit(history: History, stored: Stored) -> Iterator[str]:
    """A message says what it was last told to, in what was read and in the end, as a title does."""
    for position in {edit.position for edit in history.edits}:
        end = Read(began=NEVER, rows=dict(stored.rows))
        reads = [
            Read(began=read.began, ended=read.ended, title=read.rows[position])
            for read in [*history.reads, end]
            if position in read.rows
        ]
        for title in _overwritten(_writes(history, position), reads):
            yield f"{title!r} at {position} was overwritten, or is nobody's"


def _writes(history: History, position: int) -> list[Rename]:
    appended = [
        Rename(began=append.began, ended=append.ended, title=text)
        for append in history.appends
        for at, text in zip(append.positions, append.texts, strict=False)
        if at == position
    ]
    edited = [
        Rename(began=edit.began, ended=edit.ended, title=edit.text)
        for edit in history.edits
        if edit.position == position
    ]
    return appended + edited


def _unedited(history: History, stored: Stored) -> tuple[History, Stored]:
    """Give what there would be without edits, for the checks of what was appended."""
    first = {
        at: text
        for append in history.appends
        for at, text in zip(append.positions, append.texts, strict=False)
    }
    edited = {(edit.position, edit.text): first[edit.position] for edit in history.edits}
    rows = [(at, edited.get((at, text), text)) for at, text in stored.rows]
    reads = [
        replace(read, rows={at: edited.get((at, text), text) for at, text in read.rows.items()})
        for read in history.reads
    ]
    return replace(history, reads=reads), stored._replace(rows=rows)


def lost_write(history: History, stored: Stored) -> Iterator[str]:
    there = set(stored.rows)
    for append in history.appends:
        if append.ended != NEVER:
            rows = set(zip(append.positions, append.texts, strict=True))
            if rows - there:
                yield f"acknowledged and not there: {rows - there}"


def double_write(_: History, stored: Stored) -> Iterator[str]:
    for text, times in Counter(text for _, text in stored.rows).items():
        if times > 1:
            yield f"{text} is there {times} times"


def unknown_write(history: History, stored: Stored) -> Iterator[str]:
    written = {text for append in history.appends for text in append.texts}
    for position, text in stored.rows:
        if text not in written:
            yield f"{text} at {position} was written by nobody"


def torn_write(history: History, stored: Stored) -> Iterator[str]:
    """A batch is there as a whole and in one piece, or not at all."""
    at = _places(stored)
    for append in history.appends:
        places = [at[text] for text in append.texts if text in at]
        if places and places != list(range(places[0], places[0] + len(append.texts))):
            yield f"of {append.texts} there is {places}"


def gap(_: History, stored: Stored) -> Iterator[str]:
    positions = [position for position, _ in stored.rows]
    if positions != list(range(1, len(positions) + 1)):
        yield f"positions {positions}"
    if stored.message_count != len(positions):
        yield f"{len(positions)} messages, and a count of {stored.message_count}"


def disorder(history: History, stored: Stored) -> Iterator[str]:
    """A write that was acknowledged before another began stands before it."""
    at = _places(stored)
    there = [one for one in history.appends if one.texts[0] in at]
    for first in there:
        for second in there:
            if first.precedes(second) and at[first.texts[0]] > at[second.texts[0]]:
                yield f"{second.texts[0]} stands before {first.texts[0]}"


def dirty_read(history: History, stored: Stored) -> Iterator[str]:
    """Somebody was shown what is not there in the end: nothing is ever taken back."""
    there = set(stored.rows)
    for read in history.reads:
        if read.newest > len(there) or not there.issuperset(read.rows.items()):
            yield f"shown and not there: {read.newest}, {set(read.rows.items()) - there}"


def torn_page(history: History, _: Stored) -> Iterator[str]:
    for read in history.reads:
        positions = sorted(read.rows)
        if positions and positions != list(range(positions[0], positions[-1] + 1)):
            yield f"a page showed {positions}"


def stale_read(history: History, _: Stored) -> Iterator[str]:
    """A read shows all that anybody was acknowledged or shown before it began."""
    known = [(one.ended, one.positions[-1]) for one in history.appends if one.positions]
    known += [(read.ended, read.newest) for read in history.reads]
    for read in history.reads:
        least = max((newest for ended, newest in known if ended < read.began), default=0)
        if read.newest < least:
            yield f"showed {read.newest} messages when there were {least}"


def lost_update(history: History, stored: Stored) -> Iterator[str]:
    """A title stands until another one is written: in what was read, and in the end."""
    end = Read(began=NEVER, title=stored.title)
    for title in _overwritten(history.renames, [*history.reads, end]):
        yield f"the title {title!r} was overwritten, or is nobody's"


def _overwritten(writes: list[Rename], reads: list[Read]) -> Iterator[str]:
    """Give what was read when something else was written by then, or what nobody wrote."""
    done = [_in_effect(one, reads) for one in writes]
    for read in reads:
        if read.title is not None and not _is_current(read, done):
            yield read.title


def _in_effect(rename: Rename, reads: list[Read]) -> Rename:
    """Acknowledged or not, it has happened by the time somebody sees it."""
    seen = [read.ended for read in reads if read.title == rename.title]
    return Rename(began=rename.began, ended=min([rename.ended, *seen]), title=rename.title)


def _is_current(read: Read, renames: list[Rename]) -> bool:
    return any(
        one.title == read.title
        and one.began < read.ended
        and not any(one.precedes(other) and other.precedes(read) for other in renames)
        for one in renames
    )


def _places(stored: Stored) -> dict[str, int]:
    return {text: position for position, text in stored.rows}


CHECKS = (
    *(lost_write, double_write, unknown_write, torn_write, gap, disorder),
    *(dirty_read, torn_page, stale_read, lost_update),
)
