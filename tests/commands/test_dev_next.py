"""A newcomer goes on: opens the address, types commands, looks into databases, changes code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from signal import SIGTERM

import httpx
import pytest

from tests.support.dev import ROOT, running
from tests.support.service import until

# Each test starts processes, some for many seconds: run with `pytest -m slow` and by .ci/run slow.
pytestmark = pytest.mark.slow


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Copies what runs to a folder whose name holds what ConfigParser and URLs would read."""
    clone = tmp_path / "feature%2Fx and y"
    for name in ("app", "migrations"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "alembic.ini", clone)
    return clone


def typed(folder: Path, *words: str) -> str:
    """Type a command in another terminal that knows of no database."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DATABASE_")}
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_in_any_folder_its_address_opens_and_commands_find_it(clone: Path) -> None:
    with running(Path(".bicameral"), folder=clone) as dev:
        page = httpx.get(dev.address, follow_redirects=True)
        assert (page.status_code, page.url.path) == (200, "/schema")
        assert "text/html" in page.headers["content-type"]
        assert "\\demo\\alice" in typed(clone, "litestar", "users", "list")
        assert "(head)" in typed(clone, "litestar", "database", "show-current-revision")
        assert "The databases agree." in typed(clone, "litestar", "reconcile")
        for line in dev.psql:
            counted = subprocess.run(
                ["bash", "-c", f"{line} -Atc 'SELECT 40 + 2'"],
                capture_output=True,
                check=False,
                text=True,
            )
            assert counted.stdout == "42\n", counted
        dev.stop(SIGTERM)
    assert not (clone / ".bicameral" / "urls.env").exists()
    assert "u0001" in typed(clone, "alembic", "-n", "user", "history")


def test_a_change_starts_the_service_anew(clone: Path) -> None:
    with running(Path(".bicameral"), "--reload", folder=clone) as dev:
        assert httpx.get(f"{dev.address}/health/live").json() == {"status": "alive"}
        health = clone / "app" / "operations" / "health.py"
        health.write_text(health.read_text().replace('"alive"', '"reloaded"'))
        until(lambda: "reloaded" in httpx.get(f"{dev.address}/health/live", timeout=30).text)
        assert dev.stop(SIGTERM) == 0


def test_settings_are_honoured_but_for_the_urls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METRICS", "off")
    monkeypatch.setenv("DATABASE_URL_USER", "postgresql://nobody@127.0.0.1:1/nowhere")
    with running(tmp_path, "--host", "127.0.0.2") as dev:
        assert dev.address.startswith("http://127.0.0.2:")
        assert httpx.get(f"{dev.address}/health").status_code == 200
        assert httpx.get(f"{dev.address}/metrics").status_code == 404
        dev.stop(SIGTERM)
