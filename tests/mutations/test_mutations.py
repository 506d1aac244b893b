"""A hundred faults by chance: at most ten go unnoticed by the tests that are nearest to them."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from app.config.settings import Settings
from tests.mutations.alike import alike, in_turn
from tests.mutations.heeded import BY_EVERY_TEST, NOTICED_BY, ignored, noticing
from tests.mutations.mutants import Mutant, chosen
from tests.mutations.nearest import nearest
from tests.mutations.run import Outcome, Warm, copied, tried
from tests.support.servers import ROOT, Servers

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
MOST_TESTS = int(os.environ.get("MUTATIONS_TESTS", "40"))
MOST_UNNOTICED = 0.1
PARSED = 200


def test_a_fault_is_a_change_that_can_be_read() -> None:
    """One fault in each of these files is parsed: all would take half a minute."""
    for one in chosen(ROOT, FILES, PARSED, SEED):
        assert one.source != (ROOT / one.path).read_text(), one
        if one.path.endswith(".py"):
            ast.parse(one.source)


def test_a_seed_says_which_faults() -> None:
    first, again = chosen(ROOT, FILES, 50, SEED), chosen(ROOT, FILES, 50, SEED)
    assert first == again
    assert first != chosen(ROOT, FILES, 50, SEED + 1)
    assert len({one.path for one in first}) > 20


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


@pytest.fixture
def warm(tmp_path: Path) -> Iterator[Warm]:
    process = Warm(tmp_path)
    yield process
    process.close()


async def test_what_runs_is_the_tree_with_the_fault(
    warm: Warm, tree: Path, servers: Servers, template: str
) -> None:
    source = (ROOT / "app/http/canonical.py").read_text()
    whole = Mutant("app/http/canonical.py", 1, "", "", source)
    fault = replace(whole, source=source.replace("def canonical(", "def forgotten("))
    for mutant in (fault, whole):
        outcome = await tried(warm, tree, mutant, ["tests/http/test_canonical.py"], servers)
        assert outcome
        assert (outcome.noticed_by is not None) == (mutant is fault), outcome


@dataclass
class Report:
    """Writes each outcome down at once; what was written before is not done again."""

    path: Path
    unnoticed: list[str] = field(default_factory=list[str])

    def has(self, mutant: Mutant) -> bool:
        if not self.path.is_file():
            return False
        lines = [line for line in self.path.read_text().splitlines() if line.endswith(str(mutant))]
        self.unnoticed += [line for line in lines[:1] if line.startswith("UNNOTICED")]
        return lines != []

    def add(self, outcome: Outcome) -> None:
        with self.path.open("a") as file:
            file.write(f"{outcome}\n")
        self.unnoticed += [str(outcome)] * (outcome.noticed_by is None)


@pytest.mark.soak
async def test_no_setting_may_be_ignored(
    warm: Warm, tree: Path, servers: Servers, template: str
) -> None:
    report = Report(Path(REPORT))
    for setting in NOTICED_BY:
        for mutant in ignored(ROOT, setting):
            if outcome := await tried(warm, tree, mutant, noticing(setting), servers):
                report.add(outcome)
    assert report.unnoticed == []


@pytest.mark.soak
async def test_faults_are_noticed(warm: Warm, tree: Path, servers: Servers, template: str) -> None:
    """MUTATIONS says how many, MUTATIONS_SEED which, MUTATIONS_REPORT where each is written."""
    report, count = Report(Path(REPORT)), 0
    for mutant in chosen(ROOT, FILES, 2 * COUNT, SEED):
        if count == COUNT:
            break
        if report.has(mutant):
            count += 1
            continue
        place = (ROOT, mutant.path, mutant.line)
        tests = [str(one) for one in in_turn(nearest(*place), alike(*place))[:MOST_TESTS]]
        assert tests, mutant
        if outcome := await tried(warm, tree, mutant, tests, servers):
            report.add(outcome)
            count += 1
    assert len(report.unnoticed) <= COUNT * MOST_UNNOTICED, "\n".join(report.unnoticed)
