"""The folder in memory in which a run keeps its servers, where there is one with room.

A test's own databases are six hundred files: on a disk, the kernel needs thrice the time for them.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from app.commands.embedded.host import acquire, kill_all

PREFIX = "bicameral-tests-"
MEMORY = Path("/dev/shm")  # noqa: S108  a folder of its own is made in it; a container's has 64 MB
ROOM_BYTES = 8 * 2**30  # of which a run takes some hundred megabytes for each process
LOCKED_AFTER_SECONDS = 60.0  # a run has just made its file, and not locked it yet


@contextmanager
def folder_of_a_run() -> Generator[Path]:
    """Yield one in memory, or else where temporary files are."""
    has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM_BYTES
    if has_room:
        sweep(MEMORY)
    with TemporaryDirectory(prefix=PREFIX, dir=MEMORY if has_room else None) as folder:
        yield Path(folder)


def sweep(place: Path) -> None:
    """Remove what runs that were killed have left: memory, and servers that nobody will stop."""
    for file in place.glob(f"{PREFIX}*/lock"):
        with suppress(OSError), file.open("a") as lock:
            if time.time() - file.stat().st_mtime > LOCKED_AFTER_SECONDS and acquire(lock):
                for cluster in file.parent.glob("*/"):
                    kill_all(cluster)
                shutil.rmtree(file.parent, ignore_errors=True)
