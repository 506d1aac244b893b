"""A run that is killed leaves its folder in memory only until the next run begins."""

from __future__ import annotations

import os
from pathlib import Path

from app.commands.embedded.host import acquire
from tests.support.memory import LOCKED_AFTER_SECONDS, PREFIX, sweep


def a_run(place: Path, name: str, *, seconds_ago: float) -> Path:
    """Make what a run has: its lock, and a cluster."""
    (place / f"{PREFIX}{name}" / "user").mkdir(parents=True)
    lock = place / f"{PREFIX}{name}" / "lock"
    lock.touch()
    began = lock.stat().st_mtime - seconds_ago
    os.utime(lock, (began, began))
    return lock


def test_what_a_killed_run_left_goes_and_what_others_use_stays(tmp_path: Path) -> None:
    long_ago = 2 * LOCKED_AFTER_SECONDS
    killed = a_run(tmp_path, "killed", seconds_ago=long_ago)
    alive = a_run(tmp_path, "alive", seconds_ago=long_ago)
    beginning = a_run(tmp_path, "beginning", seconds_ago=0)
    (tmp_path / "other").mkdir()
    with alive.open("a") as lock:
        assert acquire(lock)
        sweep(tmp_path)
    assert not killed.parent.exists()
    assert alive.exists()
    assert beginning.exists()
    assert (tmp_path / "other").exists()
