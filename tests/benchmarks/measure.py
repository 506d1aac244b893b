"""Rounds in which everybody takes turns: the machine drifts, so only pairs within one compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

from tests.benchmarks.contestants import Running, postgres_cpu_seconds
from tests.benchmarks.generator import generate
from tests.benchmarks.options import Options
from tests.benchmarks.routes import Route
from tests.benchmarks.world import BenchmarkError, Pair

T = TypeVar("T")
WARM_UP_SECONDS = 1


@dataclass(frozen=True)
class Sample:
    """One contestant, one route, one round."""

    route: str
    contestant: str
    round: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_seconds_per_1000: float
    postgres_cpu_seconds_per_1000: float
    rss_mb: float


def measure(
    everybody: Sequence[Running],
    chosen: Sequence[Route],
    pair: Pair,
    options: Options,
    say: Callable[[str], None],
) -> list[Sample]:
    for route in chosen:
        for one in everybody:
            generate(one.url, route.load, WARM_UP_SECONDS)
        if route.writes:
            pair.undo()
    samples: list[Sample] = []
    for number in range(options.rounds):
        for route in chosen:
            for one in rotated(everybody, number):
                samples.append(_sample(one, route, pair, number, options.seconds))
                if route.writes:
                    pair.undo()
            say(f"Round {number + 1} of {options.rounds}: {route.title}")
    return samples


def rotated(everybody: Sequence[T], by: int) -> list[T]:
    """Nobody always comes first, or after the same one's traces."""
    by %= len(everybody)
    return [*everybody[by:], *everybody[:by]]


def _sample(one: Running, route: Route, pair: Pair, number: int, seconds: int) -> Sample:
    pair.rest()
    servers = pair.user, pair.general
    own, postgres = one.cpu_seconds(), postgres_cpu_seconds(servers)
    result = generate(one.url, route.load, max(seconds, route.least_seconds))
    if not result.requests:
        raise BenchmarkError(f"{one.contestant.name}: {route.title}: none answered in {seconds} s")
    thousands = result.requests / 1000
    return Sample(
        route.key,
        one.contestant.name,
        number,
        result.per_second,
        result.p50_ms,
        result.p99_ms,
        (one.cpu_seconds() - own) / thousands,
        (postgres_cpu_seconds(servers) - postgres) / thousands,
        one.rss_mb(),
    )


def of(samples: Sequence[Sample], route: str, contestant: str) -> list[Sample]:
    """Give the samples of a route and a contestant, in the order of the rounds."""
    return [one for one in samples if (one.route, one.contestant) == (route, contestant)]


def middle(samples: Sequence[Sample], value: Callable[[Sample], float]) -> float:
    return median(map(value, samples))


def ratio(
    ours: Sequence[Sample], theirs: Sequence[Sample], value: Callable[[Sample], float]
) -> float:
    """The median of the ratios within each round."""
    return paired([*map(value, ours)], [*map(value, theirs)])


def take_turns(cases: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Each case's figures, by round."""
    figures: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds):
        for name in rotated([*cases], number):
            figures[name].append(cases[name]())
    return figures


def paired(these: Sequence[float], those: Sequence[float]) -> float:
    """The median of the ratios within each round."""
    return median(one / other for one, other in zip(these, those, strict=True))
