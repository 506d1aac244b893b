"""Measures how soon the service answers, how small it is at rest, and what `--help` costs.

The environment is its own, with what production installs: Advanced Alchemy imports what it finds,
and here it would find the peers' libraries and the plot's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median

from tests.benchmarks.contestants import OUR_OWN, ROOT, litestar_run, running
from tests.benchmarks.goals import Verdict
from tests.benchmarks.measure import paired, take_turns
from tests.benchmarks.options import Options
from tests.benchmarks.report import judge, say, show_figures, write
from tests.benchmarks.world import Pair, new_pair, pair_of_servers

ANSWERS_WITHIN_SECONDS = 3
IDLE_MB = 125
SETTLE_SECONDS = 3  # its relay has looked for erasures by then
HELP = 1.2  # times what Litestar's own costs
EMPTY = "tests.benchmarks.peers.empty:app"


def measure_start(options: Options) -> bool:
    """Return whether all goals were met."""
    # In seconds of processor: steadier than those on the wall, and the same on a quiet machine.
    python = _installed(options.out / "environment")
    helps = {
        "bicameral --help": lambda: _help(python, ""),
        "Litestar's own --help": lambda: _help(python, EMPTY),
    }
    seconds = take_turns(helps, options.rounds)
    with pair_of_servers() as servers:
        pair = new_pair(servers, "start")
        say("Databases are migrated")
        starts = [_start(python, pair, options) for _ in range(options.rounds)]
    seconds["litestar run answers"] = [answers for answers, _, _ in starts]
    seconds["litestar run, CPU"] = [cpu for _, cpu, _ in starts]
    memory = {"idle worker": [megabytes for _, _, megabytes in starts]}
    ours, own = seconds["bicameral --help"], seconds["Litestar's own --help"]
    soon, small = median(seconds["litestar run answers"]), median(memory["idle worker"])
    verdicts = [
        Verdict("litestar run, seconds to its first answer", soon, ANSWERS_WITHIN_SECONDS, False),
        Verdict("idle worker, MB", small, IDLE_MB, False),
        Verdict("--help ÷ Litestar's own, seconds", paired(ours, own), HELP, False),
    ]
    show_figures("Seconds", seconds)
    show_figures("MB", memory)
    write(options.out, "start", seconds=seconds, mb=memory, goals=verdicts)
    return judge(verdicts)


def _installed(folder: Path) -> Path:
    """Its python; what this environment has of uv.lock, but for the groups of the checks."""
    sync = (sys.executable, "-m", "uv", "sync", "--frozen", "--no-dev", "--compile-bytecode", "-q")
    own = {"UV_PROJECT_ENVIRONMENT": str(folder.resolve())}
    subprocess.run(sync, cwd=ROOT, env=os.environ | own, check=True)
    return folder.resolve() / "bin" / "python"


def _help(python: Path, app: str) -> float:
    own = {"LITESTAR_APP": app} if app else {}
    inherited = {name: v for name, v in os.environ.items() if name != "LITESTAR_APP"}
    command = (str(python), "-m", "litestar", "--help")
    before = getrusage(RUSAGE_CHILDREN)
    subprocess.run(command, cwd=ROOT, env=inherited | own, check=True, stdout=subprocess.DEVNULL)
    after = getrusage(RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _start(python: Path, pair: Pair, options: Options) -> tuple[float, float, float]:
    installed = replace(OUR_OWN, command=partial(litestar_run, python=python))
    with running(installed, pair, options.out) as ours:
        time.sleep(SETTLE_SECONDS)
        return ours.seconds_to_answer, ours.cpu_seconds(), ours.rss_mb()
