"""Turns the signals that end a command into one exception, so that it cleans up once and wholly."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_has_come = False


def end_once() -> None:
    """Have the first of these signals raise KeyboardInterrupt, and those after it do nothing.

    A second one would interrupt the cleaning up. Under `nohup` SIGHUP stays ignored.
    """
    for number in ENDING:
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def _end(_: int, __: FrameType | None) -> None:
    """Raise once. In a flood the next signal comes before this has ignored it, and ends here."""
    global _has_come  # a process has one set of handlers, and one end
    if _has_come:
        return
    _has_come = True
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def end_if_told() -> None:
    """Raise KeyboardInterrupt once more, which some finalizer may have swallowed.

    Python drops whatever is raised in one, and a signal comes where it likes.
    """
    if _has_come:
        raise KeyboardInterrupt


def end_in_order() -> None:
    """Have the signals that a server does not know mean SIGTERM to it."""
    for number in (signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _terminate)


def _terminate(_: int, __: FrameType | None) -> None:
    signal.raise_signal(signal.SIGTERM)


@contextmanager
def uninterrupted() -> Generator[None]:
    """Ignore these signals for the time being: what is begun here must be done."""
    if current_thread() is not main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
