"""A tally of what clients saw: answers and errors by what was broken, times in calm."""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

CALM = "calm"
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


class Moment(NamedTuple):
    at: float
    fault: str
    change: int


@dataclass
class Weather:
    """The names of what is broken now. A request is calm if nothing was, at any time of it."""

    fault: str = CALM
    changes: int = 0
    changed: float = 0.0
    began: float = field(default_factory=time.monotonic)

    def becomes(self, fault: str) -> None:
        self.fault, self.changes, self.changed = fault, self.changes + 1, self.now().at

    def now(self) -> Moment:
        return Moment(time.monotonic() - self.began, self.fault, self.changes)

    def was_calm(self, since: Moment) -> bool:
        return self.fault == CALM and self.changes == since.change


class Timing(NamedTuple):
    at: float
    seconds: float


@dataclass
class Tally:
    weather: Weather = field(default_factory=Weather)
    answers: Counter[tuple[str, int]] = field(default_factory=Counter[tuple[str, int]])
    errors: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    timings: defaultdict[str, list[Timing]] = field(
        default_factory=lambda: defaultdict[str, list[Timing]](list)
    )
    refused_in_calm: dict[str, float] = field(default_factory=dict[str, float])
    acts: Counter[str] = field(default_factory=Counter[str])
    surprises: list[str] = field(default_factory=list[str])

    def answered(self, route: str, status: int, since: Moment) -> None:
        self.answers[self._when(since), status] += 1
        if self.weather.was_calm(since) and status < 400:
            seconds = self.weather.now().at - since.at
            self.timings[route].append(Timing(since.at, seconds))

    def refused(self, request_id: str, since: Moment) -> None:
        """Unavailable though nothing is broken: how long after something was, and which request."""
        if self.weather.was_calm(since):
            seconds = self.weather.now().at - self.weather.changed
            self.refused_in_calm[request_id] = round(seconds, 2)

    def missed(self, kind: str, since: Moment) -> None:
        """There was no answer, or none that ended."""
        self.errors[self._when(since), kind] += 1

    def surprised(self, what: str) -> None:
        """Nothing that may break excuses this."""
        self.surprises.append(f"{what} ({self.weather.fault}, at {self.weather.now().at:.1f} s)")

    def _when(self, since: Moment) -> str:
        """A fault that has just begun or just ended is to blame for what happened at its edge."""
        return since.fault if since.fault != CALM else self.weather.fault


def route_of(method: str, path: str) -> str:
    return f"{method} {ID.sub('{id}', path.partition('?')[0])}"
