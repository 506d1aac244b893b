"""Gives each test a data folder of its own, in which no server may stay behind."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from app.commands.embedded.pair import servers
from tests.support.embedded_launcher import postgres_under


@pytest.fixture(scope="module")
def template() -> Generator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        with servers(Path(folder) / "d", durable=False):
            pass
        yield Path(folder) / "d"


@pytest.fixture
def home(template: Path) -> Generator[Path]:
    """Holds a data folder `d`; copied, because initdb is what takes the time."""
    # Not tmp_path: as root, each pytest that starts meanwhile shuts the way to it again.
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder).resolve()
        subprocess.run(("cp", "-a", template, home / "d"), check=True)
        yield home
        left = postgres_under(home)
        for process in left:
            process.kill()
        assert left == []
