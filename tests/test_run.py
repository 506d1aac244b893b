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


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@contextmanager
def running(
    settings: Settings, workers: int, **more: str
) -> Generator[tuple[subprocess.Popen[bytes], str]]:
    port = free_port()
    command = [sys.executable, "-m", "litestar", "run", "--port", str(port), "--wc", str(workers)]
    environ = environment(settings) | more
    with subprocess.Popen(command, cwd=ROOT, env=environ) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            _until_it_answers(process, address)
            yield process, address
        finally:
            process.terminate()


def test_two_workers_serve_and_stop(settings: Settings) -> None:
    """Litestar's own command would leave its workers behind."""
    port = free_port()
    with running(settings, 2, METRICS_PORT=str(port)) as (process, address):
        ready = httpx.get(f"{address}/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "healthy")
        assert httpx.get(f"{address}/v1/me").status_code == 401
        _figures_of_both(f"http://127.0.0.1:{port}/metrics")
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(SIGTERM)
        process.wait(STOP_SECONDS)
        _, alive = psutil.wait_procs(family, STOP_SECONDS)
        assert not alive


def _figures_of_both(metrics: str) -> None:
    """Whichever is asked. Each of them has opened one connection to see whether it may."""
    deadline = time.monotonic() + START_SECONDS
    while BOTH_IDLE not in httpx.get(metrics).text:
        assert time.monotonic() < deadline, "each worker shows only its own"
    for _ in range(4):
        assert UNAUTHENTICATED in httpx.get(metrics).text


BOTH_IDLE = 'bicameral_pool_connections{database="user",pool="service",state="idle"} 2.0'
UNAUTHENTICATED = '_count{method="GET",route="/v1/me",status="401"} 1.0'


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
