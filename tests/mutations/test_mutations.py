"""A hundred faults by chance: at most ten go unnoticed by the tests that are nearest to them."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.mutations.mutants import chosen, mutants
from tests.mutations.nearest import NEAREST, nearest
from tests.mutations.run import copied, tried
from tests.support.servers import ROOT

KEPT = "version before"  # a function that only the process before this one calls
FILES = sorted(
    path
    for path in (ROOT / "app").rglob("*")
    if path.suffix in (".py", ".sql")
    if (text := path.read_text().strip()) and KEPT not in text.split("CREATE", 1)[0]
)
SEED = int(os.environ.get("MUTATIONS_SEED", "1"))
COUNT = int(os.environ.get("MUTATIONS", "100"))
REPORT = os.environ.get("MUTATIONS_REPORT", os.devnull)
MOST_UNNOTICED = 0.1


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_fault_of_a_file_is_a_change_that_can_be_read(path: Path) -> None:
    text = path.read_text()
    for one in mutants(ROOT, path):
        assert one.source != text, one
        if path.suffix == ".py":
            ast.parse(one.source)


def test_a_seed_says_which_faults() -> None:
    first, again = chosen(ROOT, FILES, 50, SEED), chosen(ROOT, FILES, 50, SEED)
    assert first == again
    assert first != chosen(ROOT, FILES, 50, SEED + 1)
    assert len({one.path for one in first}) > 20


@pytest.mark.parametrize("prefix", NEAREST)
def test_every_file_has_tests_near_it(prefix: str) -> None:
    """A name that is no file's any more is mended here."""
    assert any(str(path.relative_to(ROOT)).startswith(prefix) for path in FILES)
    assert nearest(ROOT, prefix)


@pytest.mark.soak
def test_faults_are_noticed() -> None:
    """MUTATIONS says how many, MUTATIONS_SEED which, MUTATIONS_REPORT where each is written."""
    unnoticed: list[str] = []
    with (
        TemporaryDirectory(prefix="bicameral-mutations-") as name,
        Path(REPORT).open("a") as report,
    ):
        copied(ROOT, Path(name))
        for mutant in chosen(ROOT, FILES, COUNT, SEED):
            outcome = tried(ROOT, Path(name), mutant)
            report.write(f"{outcome}\n")
            report.flush()
            if outcome.noticed_by is None:
                unnoticed.append(str(mutant))
    assert len(unnoticed) <= COUNT * MOST_UNNOTICED, "\n".join(unnoticed)
