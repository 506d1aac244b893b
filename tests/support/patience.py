"""A bound on the time of a test: one that hangs fails, and the others run on."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

AGAIN_SECONDS = 1.0  # the event loop drops what is raised in a callback


class TestHungError(BaseException):
    """The test took too long. No `except Exception` of what it tests catches this."""

    __test__ = False


@contextmanager
def limited(seconds: float) -> Generator[None]:
    """Raise TestHungError in the main thread, wherever it is, when the time is over."""

    def interrupt(_: int, frame: FrameType | None) -> None:
        raise TestHungError(f"after {seconds:.0f} seconds, in {frame}")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
