"""Measures `litestar import` beside a COPY of the same rows: messages per second.

COPY is one connection's and a superuser's, whom row level security does not hold. It reads its text
format from the server's own disk, and writes the same columns of the same tables, with indexes,
constraints and triggers. It checks no export before and compares nothing after. The import is a
process of its own, whose start counts.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import psutil

from tests.benchmarks.contestants import ROOT
from tests.benchmarks.goals import Verdict
from tests.benchmarks.measure import paired, take_turns
from tests.benchmarks.options import Options
from tests.benchmarks.report import judge, say, show_figures, warn_of_noise, write
from tests.benchmarks.rows import load, mixture
from tests.benchmarks.sealed import SEAL_KEYS
from tests.benchmarks.world import BenchmarkError, Pair, connected, new_pair, pair_of_servers, run

TENANTS, USERS = 5, 20  # in each
TABLES = ("owners", "chat_sessions", "messages")
EMPTY = "empty"
GOAL = 0.5
MOST_MB = 400  # of memory, however long the file is
LOOK_SECONDS = 0.1


class Move(NamedTuple):
    """Knows what was exported: databases, how many messages they have, and where files are."""

    pair: Pair
    messages: int
    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "export.ndjson"

    def rows(self, table: str) -> Path:
        """Name a file that the server itself writes and reads."""
        return self.pair.general.data_dir / f"{table}.rows"

    def target(self, name: str) -> Pair:
        """Make a pair of databases with the same people, of whom nobody has said anything."""
        user, general = self.pair.user, self.pair.general
        for server, template in ((user, self.pair.name), (general, EMPTY)):
            drop = f"DROP DATABASE IF EXISTS {name}"
            make = f"CREATE DATABASE {name} TEMPLATE {template}"
            run(server, "postgres", drop, make, "CHECKPOINT")
        return Pair(user, general, name)


class Import:
    """Each call imports the file and says how many messages per second came."""

    def __init__(self, move: Move, name: str, environment: Mapping[str, str] | None = None) -> None:
        self._move, self._name, self._environment = move, name, environment or {}
        self.most_mb = 0.0

    def __call__(self) -> float:
        return self._run(self._move.target(self._name), f"Imported {self._move.messages} messages")

    def again(self) -> float:
        """Import it into what the last call has left: all is there, and is only compared."""
        pair = Pair(self._move.pair.user, self._move.pair.general, self._name)
        return self._run(pair, "Imported 0 messages")

    def _run(self, pair: Pair, expected: str) -> float:
        began = time.perf_counter()
        with _litestar(pair, self._environment, "import", str(self._move.file)) as process:
            self._watch(process)
            out = process.stdout.read() if process.stdout else ""
        seconds = time.perf_counter() - began
        if not out.startswith(expected):
            raise BenchmarkError(f"import: {out}")
        return self._move.messages / seconds

    def _watch(self, process: subprocess.Popen[str]) -> None:
        """Look at its memory until it ends."""
        measured = psutil.Process(process.pid)
        while process.poll() is None:
            self.most_mb = max(self.most_mb, measured.memory_info().rss / 1e6)
            time.sleep(LOOK_SECONDS)


def measure_import(options: Options) -> bool:
    """Return whether all goals were met."""
    warn_of_noise()
    with ExitStack() as stack:
        servers = stack.enter_context(pair_of_servers())
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bicameral-benchmarks-")))
        new_pair(servers, EMPTY)
        move = Move(new_pair(servers, "moved"), options.messages, folder)
        _export(move)
        plain, sealed = Import(move, "plain"), Import(move, "sealed", {"SEAL_KEYS": SEAL_KEYS})
        cases = {
            "COPY": lambda: asyncio.run(_copy(move, move.target("copied"))),
            "import": lambda: plain(),
            "import, sealed": lambda: sealed(),
        }
        rates = take_turns(cases, options.rounds)
        rates["import again"] = [plain.again()]
    return _finish(options, rates, {"import": [plain.most_mb], "import, sealed": [sealed.most_mb]})


def _export(move: Move) -> None:
    load(move.pair, tenants=TENANTS, users=USERS, lengths=mixture(move.messages))
    copies = [f"COPY {table} TO '{move.rows(table)}'" for table in TABLES]
    run(move.pair.general, move.pair.name, *copies)
    with _litestar(move.pair, {}, "export", str(move.file)) as process:
        process.wait()
    say(f"{move.messages:,} messages are exported, {move.file.stat().st_size / 1e6:,.0f} MB")


async def _copy(move: Move, pair: Pair) -> float:
    async with connected(pair.general, pair.name) as general:
        began = time.perf_counter()
        async with general.transaction():
            for table in TABLES:
                await general.execute(f"COPY {table} FROM '{move.rows(table)}'")
        return move.messages / (time.perf_counter() - began)


def _litestar(pair: Pair, environment: Mapping[str, str], *words: str) -> subprocess.Popen[str]:
    """Start a command, whose modules are compiled once as they are where it is installed."""
    own = {"PYTHONPYCACHEPREFIX": str(pair.general.data_dir.parent), "PYTHONDONTWRITEBYTECODE": ""}
    return subprocess.Popen(
        (sys.executable, "-m", "litestar", *words),
        cwd=ROOT,
        env={**os.environ, **own, **pair.for_service(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _finish(
    options: Options, rates: dict[str, list[float]], megabytes: dict[str, list[float]]
) -> bool:
    verdicts = [
        Verdict("import ÷ COPY, messages/s", paired(rates["import"], rates["COPY"]), GOAL),
        *(
            Verdict(f"{name}, MB", most, MOST_MB, at_least=False)
            for name, (most,) in megabytes.items()
        ),
    ]
    show_figures("Messages per second", rates)
    show_figures("MB of memory, at most", megabytes)
    write(options.out, "import", messages_per_second=rates, mb=megabytes, goals=verdicts)
    return judge(verdicts)
