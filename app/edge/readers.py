"""A client that does not read its answer is let go, for what it leaves unread is kept here."""

from __future__ import annotations

import asyncio
import sys


class StalledReader:
    """Closes a connection of which nothing was read for so many seconds."""

    def __init__(self, transport: asyncio.Transport, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self._unread_bytes = 0

    def watch(self) -> None:
        """Look at the connection from now on, until all is read."""
        if self._timer is None:
            self._unread_bytes = self._transport.get_write_buffer_size()
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._check)

    def note_progress(self) -> None:
        """Something was read, whatever is written next."""
        self._unread_bytes = sys.maxsize

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _check(self) -> None:
        self._timer = None
        unread = self._transport.get_write_buffer_size()
        if unread >= self._unread_bytes:
            self._transport.abort()
        elif unread:
            self.watch()
