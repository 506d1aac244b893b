"""Lends the workers of one `litestar run` a folder for their figures, and removes it after them.

Each process that uses it holds a shared lock on it, which the kernel takes back however the process
ends. Whoever gets the lock for itself alone is the last one, and removes the folder.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.config.settings import stop
from app.telemetry.metrics import FOLDER

try:
    import fcntl
except ImportError:  # the system has no such locks: then a folder may outlive a killed run
    fcntl = None

PREFIX = "bicameral-metrics-"


@contextmanager
def shared() -> Generator[None]:
    """Name a new folder to prometheus_client, unless the operator has named one."""
    if FOLDER in os.environ:
        yield
        return
    try:
        _remove_forgotten()
        os.environ[FOLDER] = tempfile.mkdtemp(prefix=PREFIX)
    except OSError as error:
        raise stop(f"no temporary folder: {error.strerror}; set TMPDIR to one") from None
    with used():
        yield


@contextmanager
def used() -> Generator[None]:
    """Use the folder; the last one to do so removes it."""
    folder = Path(os.environ.get(FOLDER, ""))
    if not folder.name.startswith(PREFIX):
        yield
        return
    with suppress(FileNotFoundError), _locked(folder):
        yield
    _remove_unless_used(folder)


@contextmanager
def _locked(folder: Path) -> Generator[int]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if fcntl:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield descriptor
    finally:
        os.close(descriptor)


def _remove_unless_used(folder: Path) -> None:
    with suppress(OSError), _locked(folder) as descriptor:
        if fcntl:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)


def _remove_forgotten() -> None:
    """Remove the folders of runs that were killed with all their workers."""
    if fcntl:
        for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            _remove_unless_used(folder)
