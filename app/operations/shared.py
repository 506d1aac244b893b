"""One result serves whoever asks within a second: health and metrics cost the same for a crowd."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from math import inf
from typing import Generic, TypeVar

T = TypeVar("T")
SHARED_SECONDS = 1.0


class Shared(Generic[T]):
    """Makes a result when asked, at most once a second, and one at a time."""

    def __init__(self, make: Callable[[], Awaitable[T]]) -> None:
        self._make = make
        self._begun_at = -inf
        self._task: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """Whoever gives up waiting leaves the result to the others."""
        is_old = time.monotonic() - self._begun_at >= SHARED_SECONDS
        if self._task is None or (self._task.done() and is_old):
            self._begun_at = time.monotonic()
            self._task = asyncio.create_task(self._made())
        return await asyncio.shield(self._task)

    async def _made(self) -> T:
        return await self._make()
