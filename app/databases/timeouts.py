"""A timeout for answers that our own event loop may keep waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

STEPS = 8


@asynccontextmanager
async def awake_timeout(seconds: float) -> AsyncGenerator[None]:
    """Raise TimeoutError as asyncio.timeout does, but count steps of the loop rather than time.

    While the loop stands still an answer lies unread in the socket, so that this says nothing of
    whoever sent it. However late a step comes, it counts as one.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as timeout:

        def step(left: int) -> None:
            nonlocal timer
            if left:
                timer = loop.call_later(seconds / STEPS, step, left - 1)
            else:
                timeout.reschedule(loop.time())

        timer = loop.call_later(seconds / STEPS, step, STEPS - 1)
        try:
            yield
        finally:
            timer.cancel()
