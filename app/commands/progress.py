"""Shows how far a command is that takes long: on a terminal alone, and on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

Advance = Callable[[], None]


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
