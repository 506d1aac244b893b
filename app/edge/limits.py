"""How many requests a token may make: a rate with a burst, in this process's memory."""

from __future__ import annotations

import time

# Beyond it the older half is forgotten. Whoever wanted to be forgotten sooner by sending other
# tokens would need so many requests that the burst has grown back meanwhile.
REMEMBERED = 20_000


class TokenLimits:
    """The generic cell rate algorithm: one number per token, when its budget is full again."""

    def __init__(self, *, per_second: float, burst: int) -> None:
        self._interval = 1 / per_second
        self._tolerance = (burst - 1) / per_second
        self._full_at: dict[int, float] = {}
        self._older: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._full_at) + len(self._older)

    def wait_seconds(self, authorization: bytes) -> float:
        """0 and counted, or how long until the next one is let through."""
        token, now = hash(authorization), time.monotonic()  # the token itself is not kept
        full_at = self._full_at.get(token) or self._older.get(token, now)
        wait = full_at - self._tolerance - now
        if wait > 0:
            return wait
        self._full_at[token] = max(full_at, now) + self._interval
        if len(self._full_at) >= REMEMBERED:
            self._older, self._full_at = self._full_at, {}
        return 0.0
