"""Waits that are given up when they last too long: one timer for all of them, not one for each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self


class Waiting(Protocol):
    since: float

    def give_up(self) -> None: ...


class Wait:
    """A block in a `with` statement. Given up, its task is cancelled there, and it raises
    TimeoutError, just as asyncio.timeout does it.
    """

    __slots__ = ("_cancelling", "_is_given_up", "_task", "_waits", "since")

    def __init__(self, waits: Waits) -> None:
        self._waits = waits
        self._is_given_up = False
        self._task: asyncio.Task[object] | None = None
        self.since = 0.0

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task else 0
        self.since = time.monotonic()
        self._waits.add(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.forget()
        if not self._is_given_up or self._task is None:
            return
        if self._task.uncancel() <= self._cancelling and isinstance(error, asyncio.CancelledError):
            raise TimeoutError from error

    def forget(self) -> None:
        """It may take as long as it likes from here."""
        self._waits.remove(self)

    def give_up(self) -> None:
        if not self._is_given_up and self._task is not None:
            self._is_given_up = True
            self._task.cancel()


class Waits:
    """All that wait for the same thing, the oldest first.

    Without `overdue`, each is given up after `patience_seconds`. With it, `overdue` is called when
    the oldest has waited for so long, and nothing more happens before it calls `watch` again.
    """

    def __init__(self, patience_seconds: float, overdue: Callable[[], None] | None = None) -> None:
        self._patience = patience_seconds
        self._overdue = overdue or self._give_up_overdue
        self._all: dict[Waiting, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._all)

    def add(self, wait: Waiting) -> None:
        self._all[wait] = None
        if self._timer is None:
            self.watch()

    def remove(self, wait: Waiting) -> None:
        self._all.pop(wait, None)

    def give_up_all(self) -> None:
        for wait in self._all:
            wait.give_up()

    def watch(self, *, pause_seconds: float = 0) -> None:
        """Watch the oldest from now on, or after the pause, until nobody waits."""
        self._timer = None
        if oldest := self._oldest():
            seconds = max(self._remaining(oldest), pause_seconds)
            self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        oldest = self._oldest()
        if oldest and self._remaining(oldest) <= 0:
            self._overdue()
        else:
            self.watch()

    def _give_up_overdue(self) -> None:
        while (oldest := self._oldest()) and self._remaining(oldest) <= 0:
            oldest.give_up()
            self.remove(oldest)
        self.watch()

    def _oldest(self) -> Waiting | None:
        return next(iter(self._all), None)

    def _remaining(self, wait: Waiting) -> float:
        return wait.since + self._patience - time.monotonic()
