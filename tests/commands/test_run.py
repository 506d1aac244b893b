"""An operator starts `litestar run`: it has workers, speaks HTTP and ends in order."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from signal import SIGTERM

import httpx
import psutil
import pytest

from app.commands.embedded.host import free_port
from app.config.settings import Settings
from tests.support.servers import LOUD, ROOT
from tests.support.service import STOP_SECONDS, environment, running, until

# These start processes, some for many seconds: run with `pytest -m slow` and by .ci/run slow.
slow = pytest.mark.slow

CONNECTIONS = 60
LISTENING = "0A"  # in /proc/net/tcp


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


@slow
def test_workers_log_routes_and_no_paths(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    """uvicorn's own log of accesses would hold them; each worker sets logging up anew."""
    with running(settings, 2) as (_, address):
        assert httpx.get(f"{address}/v1/users/somebody").status_code == 404
    logged = capfd.readouterr().err
    assert '"status":404' in logged
    assert "somebody" not in logged


@slow
@pytest.mark.skipif(sys.platform != "linux", reason=f"{LOUD}: only Linux deals out connections")
def test_connections_are_dealt_out_to_both_workers(settings: Settings) -> None:
    """A worker that is busy gets its share too; from a shared socket the other would take all.

    Chance deals them out: fewer than a sixth for one worker happen once in a million runs.
    """
    with running(settings, 2) as (process, address), ExitStack() as stack:
        port = int(address.rpartition(":")[2])
        until(lambda: len(_listeners(process, port)) == 2)
        busy, idle = _listeners(process, port)
        busy.suspend()
        stack.callback(busy.resume)
        here = ("127.0.0.1", port)
        them = [stack.enter_context(socket.create_connection(here)) for _ in range(CONNECTIONS)]
        for one in them:
            one.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: 0 in _backlogs(port))  # the idle one has taken all that it can
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
    """Count the connections that wait to be accepted, for each socket that listens there."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    here = [row for row in rows if row[1].endswith(f":{port:04X}") and row[3] == LISTENING]
    return [int(row[4].partition(":")[2], 16) for row in here]


def _states(worker: psutil.Process, port: int) -> list[str]:
    """List the states of its sockets at this port; a process that has ended has none."""
    try:
        sockets = worker.net_connections("tcp")
        return [one.status for one in sockets if one.laddr and one.laddr.port == port]
    except psutil.NoSuchProcess:
        return []


def _figures_of_both(metrics: str) -> None:
    """Each worker tells the figures of both; each has opened one connection for its check."""
    until(lambda: BOTH_IDLE in httpx.get(metrics).text)
    for _ in range(4):
        assert UNAUTHENTICATED in httpx.get(metrics).text


BOTH_IDLE = 'bicameral_pool_connections{database="user",pool="service",state="idle"} 2.0'
UNAUTHENTICATED = '_count{method="GET",route="/v1/me",status="401"} 1.0'


@slow
@pytest.mark.parametrize("words", [[], ["--workers", "2"]], ids=["alone", "two workers"])
def test_another_server_is_refused(settings: Settings, words: list[str]) -> None:
    """It would keep a head of any size, and log paths. Many workers are not tried for ever."""
    command = [sys.executable, "-m", "uvicorn", "app:create_app", "--factory", "--port", "0"]
    refused = subprocess.run(
        [*command, *words, "--log-level", "critical"],
        cwd=ROOT,
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=STOP_SECONDS,
        check=False,
    )
    assert refused.returncode or words, "the parent of many says nothing by its code"
    assert set(refused.stderr.splitlines()) == {
        "bicameral: no other server keeps its limits; start it with `litestar run`"
    }
    assert refused.stderr.count("\n") <= max(1, len(words))


@slow
@pytest.mark.parametrize("switch", ["--debug", "--pdb", "--reload"])
def test_a_developers_switch_serves_the_same(settings: Settings, switch: str) -> None:
    with running(settings, 1, switch) as (process, address):
        ready = httpx.get(f"{address}/health/ready")
        assert ready.json()["status"] == "healthy"
        assert "server" not in ready.headers  # uvicorn's own protocol names itself
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(SIGTERM)
        process.wait(STOP_SECONDS)
        _, alive = psutil.wait_procs(family, STOP_SECONDS)
        assert not alive


@slow
def test_a_changed_file_is_loaded(settings: Settings, tmp_path: Path) -> None:
    with running(settings, 1, "--reload-dir", str(tmp_path)) as (process, address):
        port = int(address.rpartition(":")[2])
        old = _listeners(process, port)
        (tmp_path / "changed.py").touch()
        until(lambda: _listeners(process, port) not in (old, []))
        assert httpx.get(f"{address}/health/live").status_code == 200


@slow
def test_a_certificate_that_is_not_there_stops_the_start(settings: Settings) -> None:
    with pytest.raises(AssertionError, match="ended"), running(settings, 1, "--ssl-certfile", "x"):
        pass
