"""Those who append to one conversation wait for each other here.

In the database, for its row's lock, each would hold a connection, and a handful would keep
everybody else from one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class Turns:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        # A turn is kept by those who have it or wait for it, and by nobody else.
        self.all: WeakValueDictionary[Hashable, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, key: Hashable) -> AsyncGenerator[None]:
        """Let in one at a time for each key. Entering raises TimeoutError after so many seconds."""
        free = self.all.setdefault(key, asyncio.Semaphore())
        async with asyncio.timeout(self._seconds if free.locked() else None):
            await free.acquire()
        try:
            yield
        finally:
            free.release()

    def is_taken(self, key: Hashable) -> bool:
        free = self.all.get(key)
        return free is not None and free.locked()
