"""Shows how far a command is that takes long: on a terminal alone, and on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import NamedTuple

from rich.console import Console
from rich.progress import DownloadColumn, MofNCompleteColumn, Progress, ProgressColumn, TaskID

Advance = Callable[[], None]
Fill = Callable[[int], None]


class Bar(NamedTuple):
    progress: Progress
    task: TaskID


@contextmanager
def counting(what: str, total: int | None = None) -> Generator[Advance]:
    """Yield what is to be called for each one that is done."""
    with _shown(what, total, MofNCompleteColumn()) as bar:
        yield (lambda: bar.progress.advance(bar.task)) if bar else (lambda: None)


@contextmanager
def filling(what: str, total_bytes: int | None) -> Generator[Fill]:
    """Yield what is to be called with how many bytes are done."""
    with _shown(what, total_bytes, DownloadColumn()) as bar:
        yield (lambda done: bar.progress.update(bar.task, completed=done)) if bar else _ignore


@contextmanager
def _shown(what: str, total: int | None, column: ProgressColumn) -> Generator[Bar | None]:
    """Show a bar on a terminal; yield None where there is none."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    columns = (*Progress.get_default_columns(), column)
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Bar(progress, progress.add_task(what, total=total))


def _ignore(done: int) -> None:
    """Show nothing."""
