"""A hundred faults by chance: at most ten go unnoticed by the tests that are nearest to them."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from app.config.settings import Settings
from tests.mutations.heeded import BY_EVERY_TEST, NOTICED_BY, ignored, noticing
from tests.mutations.mutants import chosen, mutants
from tests.mutations.nearest import NEAREST, nearest
from tests.mutations.run import Outcome, copied, tried
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


def test_every_setting_has_tests_that_fail_when_it_is_ignored() -> None:
    """They name it; that they fail is what `test_no_setting_may_be_ignored` shows."""
    assert NOTICED_BY.keys() | set(BY_EVERY_TEST) == Settings.model_fields.keys()
    for setting in NOTICED_BY:
        texts = [(ROOT / path).read_text() for path in noticing(setting)]
        assert any(re.search(rf"\b{setting}\b", text, re.IGNORECASE) for text in texts), setting


@pytest.fixture
def tree() -> Iterator[Path]:
    with TemporaryDirectory(prefix="mutations-") as name:
        copied(ROOT, Path(name))
        yield Path(name)


def unnoticed(outcomes: Iterable[Outcome]) -> list[str]:
    """List them, and write each outcome down as soon as it is known."""
    found: list[str] = []
    with Path(REPORT).open("a") as report:
        for outcome in outcomes:
            report.write(f"{outcome}\n")
            report.flush()
            found += [str(outcome.mutant)] * (outcome.noticed_by is None)
    return found


@pytest.mark.soak
def test_no_setting_may_be_ignored(tree: Path) -> None:
    outcomes = (
        tried(tree, mutant, noticing(setting))
        for setting in NOTICED_BY
        for mutant in ignored(ROOT, setting)
    )
    assert unnoticed(outcomes) == []


@pytest.mark.soak
def test_faults_are_noticed(tree: Path) -> None:
    """MUTATIONS says how many, MUTATIONS_SEED which, MUTATIONS_REPORT where each is written."""
    faults = chosen(ROOT, FILES, COUNT, SEED)
    found = unnoticed(tried(tree, one, nearest(ROOT, one.path)) for one in faults)
    assert len(found) <= COUNT * MOST_UNNOTICED, "\n".join(found)
