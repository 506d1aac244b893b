"""`litestar run` as an operator starts it: workers, real HTTP, an orderly end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGTERM

import httpx
import psutil
import pytest

from app.config.settings import Settings
from tests.support import pgbouncer
from tests.support.servers import LOUD

ROOT = Path(__file__).parents[2]
START_SECONDS = 60
CONNECTIONS = 60
LISTENING = "0A"  # in /proc/net/tcp
STOP_SECONDS = 30


def environment(settings: Settings) -> dict[str, str]:
    """The settings that differ from the defaults, as an operator would export them."""
    urls = {name: value for name, value in settings if name.startswith("database_url") and value}
    exported = {name.upper(): url.get_secret_value() for name, url in urls.items()}
    return {"PATH": os.environ["PATH"], "RELAY": "off", **exported, **pgbouncer.ENVIRONMENT}


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


def test_workers_log_routes_and_no_paths(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    """uvicorn's own log of accesses would hold them; each worker sets logging up anew."""
    with running(settings, 2) as (_, address):
        assert httpx.get(f"{address}/v1/users/somebody").status_code == 404
    logged = capfd.readouterr().err
    assert '"status":404' in logged
    assert "somebody" not in logged


@pytest.mark.skipif(sys.platform != "linux", reason=f"{LOUD}: only Linux deals out connections")
def test_connections_are_dealt_out_to_both_workers(settings: Settings) -> None:
    """Also to one that is busy just then: on a socket they share, the other would take them all.

    By chance: not once in a million runs has either fewer than a sixth of them.
    """
    with running(settings, 2) as (process, address), ExitStack() as stack:
        port = int(address.rpartition(":")[2])
        _until(lambda: len(_listeners(process, port)) == 2)
        busy, idle = _listeners(process, port)
        busy.suspend()
        stack.callback(busy.resume)
        here = ("127.0.0.1", port)
        them = [stack.enter_context(socket.create_connection(here)) for _ in range(CONNECTIONS)]
        for one in them:
            one.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        _until(lambda: 0 in _backlogs(port))  # the idle one has taken all that it can
        busy.resume()
        assert {one.recv(12) for one in them} == {b"HTTP/1.1 200"}
        held = [_connections(busy, port), _connections(idle, port)]
        assert sum(held) == CONNECTIONS
        assert min(held) > CONNECTIONS / 6


def _listeners(process: subprocess.Popen[bytes], port: int) -> list[psutil.Process]:
    family = psutil.Process(process.pid).children(recursive=True)
    return [one for one in family if "LISTEN" in _states(one, port)]


def _connections(worker: psutil.Process, port: int) -> int:
    return _states(worker, port).count("ESTABLISHED")


def _backlogs(port: int) -> list[int]:
    """Connections that wait to be accepted, for each socket that listens there."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    here = [row for row in rows if row[1].endswith(f":{port:04X}") and row[3] == LISTENING]
    return [int(row[4].partition(":")[2], 16) for row in here]


def _states(worker: psutil.Process, port: int) -> list[str]:
    sockets = worker.net_connections("tcp")
    return [one.status for one in sockets if one.laddr and one.laddr.port == port]


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_so():
        assert time.monotonic() < deadline


def _figures_of_both(metrics: str) -> None:
    """Whichever is asked. Each of them has opened one connection to see whether it may."""
    _until(lambda: BOTH_IDLE in httpx.get(metrics).text)
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
