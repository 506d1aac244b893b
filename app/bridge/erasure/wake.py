"""Wakes an idle relay within milliseconds of a deletion, by LISTEN and NOTIFY.

Polling finds the same erasures a little later, so a lost notification loses nothing.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from app.config.settings import Settings
from app.databases.causes import describe
from app.databases.opening import open_connection
from app.telemetry import log

CHANNEL = "bicameral_erasures"


class Bell:
    """Wakes every task that waits for the next ring, also one that asked before it waits."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def next(self) -> asyncio.Event:
        return self._next

    def ring(self, *_: Any) -> None:
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self, rung: asyncio.Event, timeout_seconds: float) -> None:
        # Not wait_for: in Python 3.11 it forgets a cancellation that comes together with the ring.
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await rung.wait()


async def listen(settings: Settings, bell: Bell) -> None:
    """Listen until cancelled, on a connection of its own that is reopened whenever it ends."""
    while True:
        try:
            await _listen_once(settings, bell)
        except Exception as error:  # noqa: BLE001  it may never end the relay
            log.warning("relay_deaf", **describe(error))
        await asyncio.sleep(settings.relay_away_max_seconds)


async def _listen_once(settings: Settings, bell: Bell) -> None:
    connection = await open_connection(settings, "user")
    ended = asyncio.Event()
    try:
        connection.add_termination_listener(lambda _: ended.set())
        await connection.add_listener(CHANNEL, bell.ring)
        bell.ring()  # for what was deleted before anyone listened
        await ended.wait()
    finally:
        connection.terminate()
