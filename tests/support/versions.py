"""A conversation's changes, replayed in the order of their tags: each must be what they explain.

Every change raises the conversation's version by one and is answered with it. So the acknowledged
changes have an order of their own, and whoever read the conversation says at which version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Said(NamedTuple):
    """A message, as one of its versions has it."""

    content: str
    status: str = "completed"


Rows = dict[int, Said]


@dataclass
class State:
    rows: Rows = field(default_factory=dict[int, Said])
    last_position: int = 0


# Applies itself to the state, and says what is wrong.
Effect = Callable[[State], Iterator[str]]


@dataclass(kw_only=True)
class Change:
    """`expected` is the version that If-Match named. The times are the history's own."""

    began: int
    ended: int
    version: int
    effect: Effect
    expected: int | None = None


class Read(NamedTuple):
    """Rows that somebody was shown at a version; `is_whole` where they were shown all."""

    version: int
    rows: Rows
    is_whole: bool = False


def appended(said: Sequence[Said], positions: Sequence[int]) -> Effect:
    def effect(state: State) -> Iterator[str]:
        given = list(range(state.last_position + 1, state.last_position + 1 + len(said)))
        if list(positions) != given:
            yield f"appended at {positions}, not at {given}"
        state.rows.update(zip(given, said, strict=True))
        state.last_position += len(said)

    return effect


def edited(position: int, said: Said) -> Effect:
    def effect(state: State) -> Iterator[str]:
        if position not in state.rows:
            yield f"edited {position}, which is not there"
        state.rows[position] = said

    return effect


def deleted(first: int, last: int | None, count: int) -> Effect:
    """Delete from one position to another, or to the end."""

    def effect(state: State) -> Iterator[str]:
        gone = [at for at in state.rows if first <= at and (last is None or at <= last)]
        if len(gone) != count:
            yield f"deleted {count} messages from {first} to {last}, of {len(gone)}"
        for position in gone:
            del state.rows[position]

    return effect


def faults(changes: Sequence[Change], reads: Sequence[Read], end: State) -> list[str]:
    """None, if the versions explain all that was answered, and what is there in the end."""
    in_order = sorted(changes, key=lambda change: change.version)
    found = [*_order(in_order), *_expectations(in_order)]
    state, seen = State(), {0: Rows()}
    for change in in_order:
        found += change.effect(state)
        seen[change.version] = dict(state.rows)
    if state != end:
        found.append(f"in the end there is {_brief(end)}, not {_brief(state)}")
    return found + [fault for read in reads for fault in _shown(read, seen)]


def _order(changes: Sequence[Change]) -> Iterator[str]:
    """The versions have neither gaps nor doubles, and contradict no clock."""
    versions = [change.version for change in changes]
    if versions != list(range(1, len(versions) + 1)):
        yield f"versions {versions}"
    for place, change in enumerate(changes):
        if any(later.ended < change.began for later in changes[place + 1 :]):
            yield f"version {change.version} began after a later one had ended"


def _expectations(changes: Sequence[Change]) -> Iterator[str]:
    for change in changes:
        if change.expected is not None and change.expected != change.version - 1:
            yield f"version {change.version} was written over, expecting {change.expected}"


def _shown(read: Read, seen: dict[int, Rows]) -> Iterator[str]:
    there = seen.get(read.version)
    if there is None:
        yield f"version {read.version} was shown, and is nobody's"
    elif not read.rows.items() <= there.items() or (read.is_whole and read.rows != there):
        yield f"at version {read.version} there was shown what it is not: {sorted(read.rows)}"


def _brief(state: State) -> str:
    return f"{state.last_position}: {[(at, said.content[:20]) for at, said in state.rows.items()]}"
