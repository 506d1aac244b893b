"""One at a time for each key, within this process; whoever waits holds no connection meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from weakref import WeakValueDictionary


class Turns:
    """`patience_seconds`: the longest wait for a turn, then TimeoutError."""

    def __init__(self, patience_seconds: float) -> None:
        self._patience = patience_seconds
        # A lock is kept by those who hold it or wait for it, and by nobody else.
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    def of(self, key: Hashable) -> Turn:
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return Turn(lock, self._patience)


class Turn:
    """A block in an `async with` statement."""

    __slots__ = ("_lock", "_patience")

    def __init__(self, lock: asyncio.Lock, patience_seconds: float) -> None:
        self._lock = lock
        self._patience = patience_seconds

    @property
    def is_taken(self) -> bool:
        return self._lock.locked()

    async def __aenter__(self) -> None:
        if not self._lock.locked():
            await self._lock.acquire()
            return
        async with asyncio.timeout(self._patience):
            await self._lock.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()
