"""The requests of the table of doors: every operation, by every caller, for every person."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.support.doors import CALLERS, DOORS, SUBJECTS, Caller, Came, Door, Subject, expected
from tests.support.operations import OPERATIONS, Operation


class Cell(NamedTuple):
    """One request of the matrix."""

    operation: Operation
    door: Door
    caller: Caller
    subject: Subject

    @property
    def status(self) -> int:
        return expected(self.door, self.operation.path, self.caller, self.subject)

    def __str__(self) -> str:
        how = "external " if self.subject.is_external else ""
        return f"{self.operation.id}: {self.caller.name}, {how}{self.subject.name}"


Choice = Callable[[Iterator[Cell]], Iterator[Cell]]


def cells() -> Iterator[Cell]:
    for name, door in DOORS.items():
        for caller in CALLERS:
            for subject in SUBJECTS:
                yield Cell(OPERATIONS[name], door, caller, subject)


def in_turn(every: Iterator[Cell]) -> Iterator[Cell]:
    """Thin out what is refused before the person matters: there each operation meets each caller
    with a person or two, and each caller meets all of them; and persons' tokens that are let in.
    """
    for cell in every:
        matters = cell.caller.came is Came.KEY and cell.door.scopes & (cell.caller.scopes or set())
        is_plain = cell.subject.is_missing and cell.caller.came is not Came.BAD
        places = list(DOORS).index(cell.operation.id), CALLERS.index(cell.caller)
        turn = sum(places) + SUBJECTS.index(cell.subject)
        if cell.status < 400 and cell.caller.came is Came.TOKEN and cell.door.of_person:
            is_plain = turn % 4 == 0
        if matters or is_plain or turn % len(SUBJECTS) == 0:
            yield cell


def known(every: Iterator[Cell]) -> Iterator[Cell]:
    """Keep all that come with a good credential, and of the others those whose turn it is."""
    for cell in every:
        if cell.caller.came is not Came.BAD or any(in_turn(iter([cell]))):
            yield cell
