"""Turns that are waited for in this process: without a connection, and for a bounded time."""

from __future__ import annotations

import asyncio


class Turn:
    """Holds its key's turn for the time of a block. One that is free costs no timer."""

    def __init__(self, free: asyncio.Semaphore, seconds: float) -> None:
        self._free = free
        self._seconds = seconds

    async def __aenter__(self) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        async with asyncio.timeout(self._seconds):
            await self._free.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._free.release()
