"""Shows how far a command is that takes long: on a terminal alone, and on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import DownloadColumn, MofNCompleteColumn, Progress

Advance = Callable[[], None]
Fill = Callable[[int], None]


@contextmanager
def counting(what: str, total: int | None = None) -> Generator[Advance]:
    """Yield what is to be called for each one that is done."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda: None
        return
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(what, total=total)
        yield lambda: progress.advance(bar)


@contextmanager
def filling(what: str, total_bytes: int | None) -> Generator[Fill]:
    """Yield what is to be called with how many bytes are done."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = (*Progress.get_default_columns(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(what, total=total_bytes)
        yield lambda done: progress.update(bar, completed=done)
