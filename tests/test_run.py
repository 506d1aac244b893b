"""`litestar run` as an operator starts it: workers, real HTTP, an orderly end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGTERM

import httpx
import psutil

from app.settings import Settings

ROOT = Path(__file__).parents[1]
START_SECONDS = 60
STOP_SECONDS = 30


def environment(settings: Settings) -> dict[str, str]:
    """The settings that differ from the defaults, as an operator would export them."""
    urls = {name: value for name, value in settings if name.startswith("database_url") and value}
    exported = {name.upper(): url.get_secret_value() for name, url in urls.items()}
    return {"PATH": os.environ["PATH"], "RELAY": "off", **exported}


@contextmanager
def running(settings: Settings, workers: int) -> Generator[tuple[subprocess.Popen[bytes], str]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "litestar", "run", "--port", str(port), "--wc", str(workers)]
    with subprocess.Popen(command, cwd=ROOT, env=environment(settings)) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            _until_it_answers(process, address)
            yield process, address
        finally:
            process.terminate()


def test_two_workers_serve_and_stop(settings: Settings) -> None:
    """Litestar's own command would leave its workers behind."""
    with running(settings, 2) as (process, address):
        ready = httpx.get(f"{address}/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "healthy")
        assert httpx.get(f"{address}/v1/me").status_code == 401
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(SIGTERM)
        process.wait(STOP_SECONDS)
        _, alive = psutil.wait_procs(family, STOP_SECONDS)
        assert not alive


def _until_it_answers(process: subprocess.Popen[bytes], address: str) -> None:
    """A connection refused answers at once: this asks again until one is not."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it answered"
        try:
            httpx.get(f"{address}/health/live")
        except httpx.TransportError:
            continue
        return
    raise AssertionError("it did not answer in time")
