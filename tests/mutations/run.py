"""Puts one fault at a time into a copy of the tree, and runs the nearest tests there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

import asyncpg

from tests.mutations.mutants import Mutant
from tests.support.servers import TEMPLATE, Servers, lend, run

SECONDS = float(os.environ.get("MUTATIONS_SECONDS", "300"))
LAST = re.compile(
    r"(?m)^(?:FAILED|ERROR) (tests/.+?)(?: - |$)|^(ImportError while loading conftest)"
)
DOTS = re.compile(r"(?m)^[.sxFE]+(?= |$)")
OPTIONS = (
    *("-q", "-x", "--no-header", "-p", "no:cacheprovider"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)
# Theirs are the run's; pytest rewrites its plugins as it imports them.
NOT_BEFORE = {
    *("app", "tests", "conftest", "__main__", "anyio", "hypothesis", "pytest_asyncio", "xdist"),
    *("platformdirs", "faker", "langsmith"),
}
LEFT = """
SELECT format('DROP DATABASE IF EXISTS %I WITH (FORCE)', datname)
FROM pg_database WHERE datname ~ $1
"""


class Outcome(NamedTuple):
    mutant: Mutant
    noticed_by: str | None
    seconds: float = 0.0
    passed: int = 0  # before that test, or in time

    def __str__(self) -> str:
        who = self.noticed_by or "UNNOTICED"
        return f"{who}\t{self.passed} passed in {self.seconds:.0f} s\t{self.mutant}"


def copied(root: Path, folder: Path) -> None:
    """Copy what git knows, and borrow the environment."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True)
    for name in listed.stdout.decode().split("\0"):
        if name and (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, folder / name)
    (folder / ".venv").symlink_to(Path(sys.prefix))


class Warm:
    """Runs tests in forks of a process that has imported all that they need."""

    def __init__(self, folder: Path) -> None:
        self._output = folder / "output"
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("warm.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
        )
        names = [name for name in sys.modules if name.split(".")[0] not in NOT_BEFORE]
        self._send(names)

    def noticed(self, tree: Path, tests: list[str], servers: Servers) -> tuple[str | None, int]:
        """Name the test that failed first, if any did in time, and count those that passed."""
        self._send(
            {
                "tree": str(tree),
                "arguments": [*OPTIONS, *tests],
                "environment": {"BICAMERAL_TESTS_SERVERS": lend(servers)},
                "seconds": SECONDS,
                "output": str(self._output),
            }
        )
        assert self._process.stdout
        code = json.loads(self._process.stdout.readline())
        told = self._output.read_text()
        passed = sum(line.count(".") for line in DOTS.findall(told))
        if failed := LAST.search(told):
            return failed[1] or failed[2], passed
        if code not in (None, 0, 1):  # 1 for a server that a test has started again, and left
            raise RuntimeError(told)
        return None, passed

    def _send(self, value: object) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(value) + "\n")
        self._process.stdin.flush()

    def close(self) -> None:
        self._process.communicate()


async def tried(
    warm: Warm, tree: Path, mutant: Mutant, tests: list[str], servers: Servers
) -> Outcome | None:
    """Run the tests with the fault in the tree; None, if the database refuses the function."""
    began = time.monotonic()
    try:
        async with _with_fault(tree, mutant, servers):
            noticed_by, passed = warm.noticed(tree, tests, servers)
    except asyncpg.PostgresError:
        return None
    if noticed_by and "::" in noticed_by and warm.noticed(tree, [noticed_by], servers)[0]:
        raise RuntimeError(f"{noticed_by} fails without the fault, too")
    return Outcome(mutant, noticed_by, time.monotonic() - began, passed)


@asynccontextmanager
async def _with_fault(tree: Path, mutant: Mutant, servers: Servers) -> AsyncGenerator[None]:
    path = tree / mutant.path
    before, is_sql = path.read_text(), path.suffix == ".sql"
    if is_sql:
        await _define(servers, mutant.path, mutant.source)
    try:
        with _written(path, mutant.source):
            yield
    finally:
        await _tidied(servers)
        if is_sql:
            await _define(servers, mutant.path, before)


async def _define(servers: Servers, path: str, function: str) -> None:
    """Put the function into the template, of which each test gets a copy."""
    server = servers.user if "/user/" in path else servers.general
    await run(server, function, TEMPLATE)


@contextmanager
def _written(path: Path, source: str) -> Generator[None]:
    """Give the file a time of its own, since Python keeps what it compiled by time and size."""
    before, moment = path.read_text(), path.stat().st_mtime
    path.write_text(source)
    os.utime(path, (moment + 2, moment + 2))
    try:
        yield
    finally:
        path.write_text(before)
        os.utime(path, (moment + 4, moment + 4))


async def _tidied(servers: Servers) -> None:
    """Start what a test has stopped, and drop the databases of tests that were stopped."""
    for server in servers:
        server.start()
        connection = await asyncpg.connect(server.url())
        for row in await connection.fetch(LEFT, r"^test_\d+"):
            await connection.execute(row[0])
        await connection.close()
