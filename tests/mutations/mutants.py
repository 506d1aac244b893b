"""The small faults that can be put into a file, each of a kind that people make."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.mutations.python_faults import of_python
from tests.mutations.sql_faults import of_sql


@dataclass(frozen=True)
class Mutant:
    path: str
    line: int
    before: str
    after: str
    source: str  # of the whole file, with the fault in it
    kind: str = "setting"

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.kind}: {self.before!r} became {self.after!r}"


def mutants(root: Path, path: Path) -> Iterator[Mutant]:
    """Yield all of a file."""
    text = path.read_text()
    for start, end, new, kind in of_sql(text) if path.suffix == ".sql" else of_python(text):
        source = text[:start] + new + text[end:]
        line = text.count("\n", 0, start) + 1
        yield Mutant(str(path.relative_to(root)), line, text[start:end], new, source, kind)


def _chance(seed: int, turn: int, what: object) -> Random:
    return Random(f"{seed} {turn} {what}")  # noqa: S311  the same again is what is wanted


def chosen(root: Path, files: list[Path], count: int, seed: int) -> list[Mutant]:
    """Choose files by chance, a kind of fault in each, and one fault of that kind.

    A file that changes leaves the choice in all others as it is.
    """
    found: dict[tuple[str, str], Mutant] = {}
    for turn in range(count):
        ordered = sorted(
            files, key=lambda path: _chance(seed, turn, path.relative_to(root)).random()
        )
        for path in ordered:
            if len(found) == count:
                return list(found.values())
            if one := _one_of(list(mutants(root, path)), _chance(seed, turn, path.name)):
                found[one.path, one.source] = one
    raise ValueError("there are not so many")


def _one_of(some: list[Mutant], chance: Random) -> Mutant | None:
    kinds: dict[str, list[Mutant]] = defaultdict(list)
    for one in some:
        kinds[one.kind].append(one)
    return chance.choice(kinds[chance.choice(sorted(kinds))]) if kinds else None
