"""The service beside its peers, route by route."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks import plot
from tests.benchmarks.contestants import OUR_NAME, Contestant, contestants, running
from tests.benchmarks.generator import wrk
from tests.benchmarks.goals import verdicts
from tests.benchmarks.measure import Sample, measure
from tests.benchmarks.options import Options, Sizes
from tests.benchmarks.report import console, judge, machine, say, show, warn_of_noise, write
from tests.benchmarks.routes import Route, compare, routes
from tests.benchmarks.rows import load, mixture, targets
from tests.benchmarks.world import BenchmarkError, new_pair, pair_of_servers


def measure_peers(
    options: Options, sizes: Sizes, keys: Collection[str], names: Sequence[str]
) -> bool:
    """Return whether all goals were met. `names` are parts of the contestants' names."""
    warn_of_noise()
    say(f"Load by {wrk() or 'a generator of our own: wrk is not here'}")
    rivals = _chosen(contestants(options.out, say), names)
    with ExitStack() as stack:
        pair = new_pair(stack.enter_context(pair_of_servers()), "benchmark")
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bicameral-benchmarks-")))
        lengths = mixture(sizes.messages)
        asked = targets(load(pair, tenants=sizes.tenants, users=sizes.users, lengths=lengths))
        say(f"{sizes.messages:,} messages of {sizes.tenants} tenants are loaded")
        everybody = [stack.enter_context(running(one, pair, options.out)) for one in rivals]
        for peer in everybody[1:]:
            compare(everybody[0], peer, asked)
        pair.undo()
        say(f"{len(everybody)} contestants answer alike")
        chosen = [one for one in routes(asked, folder) if one.key in keys]
        samples = measure(everybody, chosen, pair, options, say)
    return _finish(options.out, chosen, [one.name for one in rivals], samples)


def _chosen(everybody: Sequence[Contestant], names: Sequence[str]) -> list[Contestant]:
    parts = [name.strip().lower() for name in names]
    chosen = [one for one in everybody if any(part in one.name.lower() for part in parts)]
    if not chosen:
        raise BenchmarkError(f"contestants are: {', '.join(one.name for one in everybody)}")
    return chosen


def _finish(
    out: Path, chosen: Sequence[Route], names: Sequence[str], samples: Sequence[Sample]
) -> bool:
    for route in chosen:
        show(route, names, samples)
    console.print("Medians. CPU seconds are per 1,000 requests.\n")
    found = list(verdicts(samples))
    write(out, "benchmark", samples=samples, goals=found)
    if OUR_NAME in names:
        plot.draw(out, [(one.key, one.title) for one in chosen], names, samples, machine())
    say(f"Figures and plots: {out}/benchmark.*")
    return judge(found)
