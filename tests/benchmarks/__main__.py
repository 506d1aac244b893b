"""`python -m tests.benchmarks`: the exit code is 1 when a goal is missed."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import click

from tests.benchmarks import (
    beside,
    callers,
    erasure,
    export,
    flood,
    growth,
    importing,
    sealed,
    sizing,
    start,
    typed,
)
from tests.benchmarks.options import Options, Sizes
from tests.benchmarks.routes import KEYS

README_PICTURE = Path(__file__).parents[2] / ".github" / "benchmark.svg"


@click.group(invoke_without_command=True)
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1))
@click.option("--seconds", default=3, show_default=True, type=click.IntRange(1), help="Of load.")
@click.option("--only", multiple=True, type=click.Choice(KEYS), help="This route; repeatable.")
@click.option("--contestants", "names", help="Parts of their names, separated by commas.")
@click.option("--tenants", default=200, show_default=True, type=click.IntRange(1))
@click.option("--users", default=10, show_default=True, type=click.IntRange(1), help="Per tenant.")
@click.option("--messages", default=500_000, show_default=True, type=click.IntRange(1000))
@click.option(
    "--out",
    default=".benchmarks",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where figures, plots and logs go.",
)
@click.option("--readme", is_flag=True, help="Also draw .github/benchmark.svg, for the README.")
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
    readme: bool,
) -> None:
    """The service beside what people would pick instead: one worker each, in turns."""
    signal.signal(signal.SIGTERM, _stop)
    out.mkdir(parents=True, exist_ok=True)
    ctx.obj = Options(rounds, seconds, messages, out)
    if ctx.invoked_subcommand is None:
        sizes = Sizes(tenants, users, messages)
        is_good = beside.measure_peers(ctx.obj, sizes, only or KEYS, (names or "").split(","))
        if readme:
            shutil.copy(out / "benchmark.svg", README_PICTURE)
        _end(is_good)


def _stop(_: int, __: FrameType | None) -> None:
    """Unwinds, so that whatever was started is stopped."""
    sys.exit(1)


def _end(is_good: bool) -> None:
    sys.exit(0 if is_good else 1)


def _command(name: str, help_text: str, measure: Callable[[Options], bool]) -> None:
    @benchmarks.command(name, help=help_text)
    @click.pass_obj
    def command(options: Options) -> None:
        _end(measure(options))


_command("growth", "Deep pages, large tables, more workers, idle tenants.", growth.measure_growth)
_command(
    "export", "Export and batch, beside the bare driver's cursor and COPY.", export.measure_bulk
)
_command("import", "An import, beside a COPY of the same rows.", importing.measure_import)
_command(
    "erasure", "A tenant's erasure, beside a bare DELETE by the same keys.", erasure.measure_erasure
)
_command("flood", "Another tenant's p99 beside one caller's flood.", flood.measure_flood)
_command(
    "callers", "An API key on behalf of many, beside their own tokens.", callers.measure_callers
)
_command("typed", "Messages of parts: read, stored, patched, as items.", typed.measure_typed)
_command("sealed", "The service that seals, beside the same without.", sealed.measure_sealed)
_command("sizing", "A message's bytes and time, and what many need.", sizing.measure_sizing)
_command("start", "How soon and how small it starts, and its --help.", start.measure_start)

if __name__ == "__main__":
    benchmarks()
