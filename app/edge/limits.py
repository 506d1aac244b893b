"""A token may make so many requests a second, with bursts; beside the lanes an address may, too."""

from __future__ import annotations

import time
from collections import OrderedDict
from math import ceil
from typing import TypeVar

from app.config.settings import Settings
from app.http.errors import TooManyRequests

# What needs no lane (health, metrics, the explorer) and what is refused before it has a place there
# is work, too, for whoever comes back at once. So many answers a second are given to each address;
# more of them wait, though not long.
ANSWERS_PER_SECOND = 100
BURST = 20
LONGEST_PAUSE_SECONDS = 1.0
# Whoever wanted to be forgotten sooner by sending other tokens would need so many requests that a
# burst has grown back meanwhile.
REMEMBERED = 20_000

K = TypeVar("K")
V = TypeVar("V")


def remember(memory: OrderedDict[K, V], key: K, value: V) -> None:
    """Put it last; beyond REMEMBERED entries the first is forgotten."""
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > REMEMBERED:
        memory.popitem(last=False)


class TokenLimits:
    """The generic cell rate algorithm: one number for a token, when its budget is full again."""

    def __init__(self, *, per_second: float, burst: int) -> None:
        self._interval = 1 / per_second
        self._tolerance = (burst - 1) / per_second
        self._full_at: OrderedDict[int, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def wait_seconds(self, token: str) -> float:
        """Returns 0 and counts the request, or how long it is until the next one is let through."""
        key, now = hash(token), time.monotonic()  # the token itself is not kept
        full_at = self._full_at.get(key, now)
        wait = full_at - self._tolerance - now
        if wait > 0:
            return wait
        remember(self._full_at, key, max(full_at, now) + self._interval)
        return 0.0

    def check(self, token: str) -> None:
        """Raises TooManyRequests."""
        if wait := self.wait_seconds(token):
            raise TooManyRequests(
                "This token makes more requests than it may; wait as Retry-After says.",
                retry_after_seconds=ceil(wait),
            )


def token_limits(settings: Settings) -> TokenLimits | None:
    if not settings.request_rate_per_token:
        return None
    return TokenLimits(
        per_second=settings.request_rate_per_token, burst=settings.request_burst_per_token
    )


class Pacing:
    """Spreads the answers to each address, beyond a burst, evenly over time."""

    def __init__(self) -> None:
        self._latest: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._latest)

    def pause_seconds(self, address: str) -> float:
        """Return how long the next answer to the address has to wait."""
        now, interval = time.monotonic(), 1 / ANSWERS_PER_SECOND
        latest = max(self._latest.get(address, 0.0), now - BURST * interval) + interval
        latest = min(latest, now + LONGEST_PAUSE_SECONDS)
        remember(self._latest, address, latest)
        return max(0.0, latest - now)
