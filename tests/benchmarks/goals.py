"""The goals that the service must reach beside each peer, and whether it did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.benchmarks.contestants import ASYNCPG, OUR_NAME, SQLALCHEMY, SQLMODEL
from tests.benchmarks.measure import Sample, of, ratio

# Requests per second, at least so many times the peer's.
AT_LEAST: dict[str, dict[str, float]] = {
    "session": {SQLMODEL: 5, SQLALCHEMY: 2.5, ASYNCPG: 0.6},
    "messages": {SQLMODEL: 5, SQLALCHEMY: 2.5, ASYNCPG: 0.75},
    "message": {SQLMODEL: 5, SQLALCHEMY: 2.5, ASYNCPG: 0.6},
    "batch": {SQLMODEL: 10, SQLALCHEMY: 5, ASYNCPG: 0.7},
    "typed messages": {ASYNCPG: 0.7},
    "typed batch": {ASYNCPG: 1},
}
# The 99th percentile, under so much of the peer's.
P99_UNDER: dict[str, dict[str, float]] = {
    route: {SQLALCHEMY: 0.5} for route in ("session", "messages", "message")
}


@dataclass(frozen=True)
class Verdict:
    """One goal; `measured` and `goal` are ratios, the service's figure to the peer's."""

    what: str
    measured: float
    goal: float
    at_least: bool = True

    @property
    def is_met(self) -> bool:
        return self.measured >= self.goal if self.at_least else self.measured < self.goal

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "<"
        mark = "met" if self.is_met else "MISSED"
        return f"{self.what}: {self.measured:.2f} (goal {sign} {self.goal:g}) {mark}"


def verdicts(samples: Sequence[Sample]) -> Iterator[Verdict]:
    """Judge the goals whose route and peer were measured."""
    for route, goals in AT_LEAST.items():
        for peer, goal in goals.items():
            ours, theirs = of(samples, route, OUR_NAME), of(samples, route, peer)
            if ours and theirs:
                faster = ratio(ours, theirs, lambda one: one.requests_per_second)
                yield Verdict(f"{route}, × {peer}", faster, goal)
    for route, goals in P99_UNDER.items():
        for peer, goal in goals.items():
            ours, theirs = of(samples, route, OUR_NAME), of(samples, route, peer)
            if ours and theirs:
                slower = ratio(ours, theirs, lambda one: one.p99_ms)
                yield Verdict(f"{route}, p99 × {peer}", slower, goal, at_least=False)
