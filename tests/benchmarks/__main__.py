"""`python -m tests.benchmarks`: the service beside its peers. Exit code 1 when a goal is missed."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

import click
from rich.console import Console

from tests.benchmarks import plot
from tests.benchmarks.contestants import OUR_NAME, Contestant, contestants, running
from tests.benchmarks.generator import wrk
from tests.benchmarks.goals import verdicts
from tests.benchmarks.measure import Sample, measure
from tests.benchmarks.report import judge, machine, show, write
from tests.benchmarks.routes import Route, compare, routes
from tests.benchmarks.rows import load, mixture, targets
from tests.benchmarks.world import new_pair, pair_of_servers

MOST_TARGETS = 2000
ROUTES = ("session", "messages", "message", "batch", "live")
console = Console(width=None if sys.stdout.isatty() else 120)
began = time.monotonic()


def say(line: str) -> None:
    console.print(f"[dim]{time.monotonic() - began:4.0f} s[/]  {line}", highlight=False)


@click.group(invoke_without_command=True)
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1))
@click.option("--seconds", default=3, show_default=True, type=click.IntRange(1), help="Of load.")
@click.option("--only", multiple=True, type=click.Choice(ROUTES), help="This route; repeatable.")
@click.option("--contestants", "names", help="Parts of their names, separated by commas.")
@click.option("--tenants", default=200, show_default=True, type=click.IntRange(1))
@click.option("--users", default=10, show_default=True, type=click.IntRange(1), help="Per tenant.")
@click.option("--messages", default=500_000, show_default=True, type=click.IntRange(1000))
@click.option(
    "--out",
    default=".benchmarks",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where figures and plots go.",
)
@click.pass_context
def benchmarks(
    ctx: click.Context,
    rounds: int,
    seconds: int,
    only: Sequence[str],
    names: str | None,
    tenants: int,
    users: int,
    messages: int,
    out: Path,
) -> None:
    """The service beside what people would pick instead: one worker each, in turns."""
    signal.signal(signal.SIGTERM, _stop)
    out.mkdir(parents=True, exist_ok=True)
    ctx.obj = out
    if ctx.invoked_subcommand:
        return
    say(f"Load by {wrk() or 'a generator of our own: wrk is not here'}")
    rivals = chosen_ones(contestants(out, say), names)
    with ExitStack() as stack:
        pair = new_pair(stack.enter_context(pair_of_servers()), "benchmark")
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bicameral-benchmarks-")))
        asked = targets(
            load(pair, tenants=tenants, users=users, lengths=mixture(messages)), MOST_TARGETS
        )
        say(f"{messages:,} messages of {tenants * users:,} users in {tenants} tenants are loaded")
        everybody = [stack.enter_context(running(one, pair, out)) for one in rivals]
        for peer in everybody[1:]:
            compare(everybody[0], peer, asked)
        pair.undo()
        say(f"{len(everybody)} contestants answer alike")
        chosen = [one for one in routes(asked, folder) if not only or one.key in only]
        samples = measure(everybody, chosen, pair, rounds=rounds, seconds=seconds, say=say)
    sys.exit(not finish(out, chosen, [one.name for one in rivals], samples))


def _stop(_: int, __: FrameType | None) -> None:
    """Unwinds, so that whatever was started is stopped."""
    sys.exit(1)


def chosen_ones(everybody: Sequence[Contestant], names: str | None) -> list[Contestant]:
    parts = [part.strip().lower() for part in (names or "").split(",")]
    return [one for one in everybody if any(part in one.name.lower() for part in parts)]


def finish(
    out: Path, chosen: Sequence[Route], names: Sequence[str], samples: Sequence[Sample]
) -> bool:
    """Whether all goals were met."""
    for route in chosen:
        show(console, route, names, samples)
    console.print("Medians. CPU seconds are per 1,000 requests.\n")
    found = list(verdicts(samples))
    is_good = judge(console, found)
    path = write(out, "benchmark", samples=samples, goals=found)
    if OUR_NAME in names:
        plot.draw(out, [(one.key, one.title) for one in chosen], names, samples, machine())
    say(f"Figures and plots: {path.parent}/")
    return is_good


if __name__ == "__main__":
    benchmarks()
