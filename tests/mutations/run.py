"""Puts one fault at a time into a copy of the tree, and runs the nearest tests there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.mutations.mutants import Mutant

SECONDS = 900
LAST = re.compile(r"(?m)^(?:FAILED|ERROR) (\S+)")
# The databases get their functions from the migrations: the newest makes the changed one last.
AFTERWARDS = """

_upgrade_before = upgrade


def upgrade() -> None:
    _upgrade_before()
    op.get_bind().exec_driver_sql({sql!r})
"""


class Outcome(NamedTuple):
    mutant: Mutant
    noticed_by: str | None

    def __str__(self) -> str:
        return f"{self.noticed_by or 'UNNOTICED'}\t{self.mutant}"


def copied(root: Path, folder: Path) -> None:
    """Copy what git knows, and borrow the environment."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True)
    for name in listed.stdout.decode().split("\0"):
        if name and (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, folder / name)
    (folder / ".venv").symlink_to(Path(sys.prefix))


def tried(tree: Path, mutant: Mutant, tests: list[str]) -> Outcome:
    """Run the tests with the fault in the tree, and take it out again."""
    if mutant.path.endswith(".sql"):
        database = mutant.path.split("/")[3]
        path = _newest(tree / "migrations" / database)
        source = path.read_text() + AFTERWARDS.format(sql=mutant.source)
    else:
        path, source = tree / mutant.path, mutant.source
    before = path.read_text()
    path.write_text(source)
    try:
        return Outcome(mutant, _noticed(tree, tests))
    finally:
        path.write_text(before)


def _newest(folder: Path) -> Path:
    """Find the revision that none follows."""
    texts = {path: path.read_text() for path in folder.glob("2*.py")}
    followed = {re.search(r"(?m)^down_revision = (.+)$", text) for text in texts.values()}
    before = {match[1] for match in followed if match}
    return next(
        path
        for path, text in texts.items()
        if (match := re.search(r"(?m)^revision = (.+)$", text)) and match[1] not in before
    )


def _noticed(tree: Path, tests: list[str]) -> str | None:
    """Name the test that failed first, if any did."""
    options = ["-q", "-x", "--no-header", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *tests],
            cwd=tree,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return "time"
    failed = LAST.search(done.stdout)
    return None if done.returncode == 0 else failed[1] if failed else f"exit {done.returncode}"
