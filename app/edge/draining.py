"""SIGTERM: first unready, then no new connections, then the end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType


@contextmanager
def delayed_stop(begin: Callable[[], None], seconds: float) -> Generator[None]:
    """On SIGTERM calls `begin`, and lets the server know only after `seconds`.

    Meanwhile whoever routes requests here can see that this process is no longer ready. A second
    SIGTERM is passed on at once. Without a server that has a handler for it nothing is changed.
    """
    stop = signal.getsignal(signal.SIGTERM)
    if not callable(stop) or current_thread() is not main_thread():
        yield
        return
    loop, is_draining = asyncio.get_running_loop(), False

    def drain(number: int, frame: FrameType | None) -> None:
        nonlocal is_draining
        if is_draining:
            stop(number, frame)
            return
        is_draining = True
        begin()
        loop.call_soon_threadsafe(loop.call_later, seconds, stop, number, frame)

    signal.signal(signal.SIGTERM, drain)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, stop)
