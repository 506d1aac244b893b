"""Workers die, are renewed, lose their supervisor; no client notices, and nothing stays behind."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from app.commands.figures import PREFIX
from app.config.settings import Settings
from tests.support.load import Load
from tests.support.servers import ROOT
from tests.support.service import START_SECONDS, STOP_SECONDS, answers, environment, running, until

# Each test starts processes, some for many seconds: run with `pytest -m slow` and by .ci/run slow.
pytestmark = pytest.mark.slow


def workers_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """All its children but multiprocessing's own."""
    family = psutil.Process(process.pid).children()
    return [one for one in family if "spawn_main" in " ".join(one.cmdline())]


def ended(family: Sequence[psutil.Process], seconds: float = STOP_SECONDS) -> bool:
    _, alive = psutil.wait_procs(family, seconds)
    return not alive


async def test_renewing_the_workers_resets_no_connection(settings: Settings) -> None:
    """Neither one that waits to be accepted, nor an idle one whose next request is on its way."""
    with running(settings, 2, REQUEST_DRAIN_SECONDS="1") as (process, address):
        before = workers_of(process)
        load = Load(urlsplit(address).port or 0)
        load.start(kept=18, new=4)
        process.send_signal(signal.SIGHUP)
        assert await asyncio.to_thread(ended, before, 2 * START_SECONDS)
        await load.stop()
        assert (load.failures, load.answered > 1000) == ([], True)
        assert len(workers_of(process)) == 2


def test_a_killed_worker_is_replaced(settings: Settings) -> None:
    with running(settings, 2) as (process, address):
        for worker in (killed := workers_of(process)):
            worker.kill()
        assert ended(killed)
        until(lambda: len(workers_of(process)) == 2)
        answers(process, address)


@pytest.mark.parametrize("restarts_at_once", [True, False])
def test_workers_do_not_outlive_their_supervisor(
    settings: Settings, tmp_path: Path, *, restarts_at_once: bool
) -> None:
    """The next start finds the port free; the folder of their figures is gone with them."""
    with running(settings, 2, TMPDIR=str(tmp_path)) as (process, address):
        assert len(list(tmp_path.glob(f"{PREFIX}*"))) == 1
        family = workers_of(process)
        process.kill()
        process.wait()
        if restarts_at_once:
            again = ["litestar", "run", "--port", str(urlsplit(address).port)]
            with subprocess.Popen(
                [sys.executable, "-m", *again], cwd=ROOT, env=environment(settings)
            ) as second:
                answers(second, address)
                second.terminate()
        assert ended(family)
    assert list(tmp_path.iterdir()) == []


def test_a_start_removes_what_a_run_left_that_was_killed_with_its_workers(
    settings: Settings, tmp_path: Path
) -> None:
    with running(settings, 2, TMPDIR=str(tmp_path)) as (process, _):
        family = workers_of(process)
        for one in (psutil.Process(process.pid), *family):
            one.kill()
        process.wait()
        assert ended(family)
    [left] = tmp_path.iterdir()
    with running(settings, 2, TMPDIR=str(tmp_path)):
        assert left not in (now := list(tmp_path.iterdir()))
        with running(settings, 2, TMPDIR=str(tmp_path)):
            assert now[0].exists(), "it is another run's"


def test_the_end_of_its_terminal_ends_it(settings: Settings) -> None:
    """Any other SIGHUP renews the workers."""
    near, far = pty.openpty()
    script = "import os, sys; os.setsid(); import fcntl, termios; fcntl.ioctl(2, termios.TIOCSCTTY)"
    command = (
        f"{script}; os.execv(sys.executable, [sys.executable, '-m', 'litestar', *sys.argv[1:]])"
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["run", "--port", str(port), "--wc", "2"]
    with subprocess.Popen(
        [sys.executable, "-c", command, *words],
        cwd=ROOT,
        env=environment(settings),
        stdin=far,
        stdout=subprocess.DEVNULL,
        stderr=far,
    ) as process:
        os.close(far)
        answers(process, f"http://127.0.0.1:{port}")
        family = workers_of(process)
        os.close(near)
        try:
            process.wait(STOP_SECONDS)
        finally:
            process.terminate()
        assert ended(family)


def test_a_worker_that_cannot_start_stops_the_start() -> None:
    program = """
import socket, sys
from app.commands.workers import Supervisor
from tests.commands.test_workers import fail
if __name__ == "__main__":
    sys.exit(Supervisor(fail, [socket.create_server(("127.0.0.1", 0))], 5).run())
"""
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, timeout=STOP_SECONDS, check=False
    )
    assert result.returncode == 3


def fail(sockets: list[socket.socket], beat: Connection) -> None:
    os._exit(4)


def test_who_interrupts_the_start_reads_no_traceback(settings: Settings) -> None:
    """A terminal sends SIGINT to the supervisor and to its workers, which import at that time."""
    command = [sys.executable, "-m", "litestar", "run", "--port", "0", "--wc", "2"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(settings), stderr=subprocess.PIPE
    ) as process:
        until(lambda: len(workers_of(process)) == 2)
        for one in (*workers_of(process), process):
            one.send_signal(signal.SIGINT)
        said = process.communicate(timeout=STOP_SECONDS)[1]
    assert b"Traceback" not in said, said


@pytest.mark.parametrize("workers", [1, 2])
def test_a_unix_socket_is_served_again_after_a_kill(
    settings: Settings, tmp_path: Path, workers: int
) -> None:
    path = tmp_path / "socket"
    for _ in range(2):
        words = ["run", "--uds", str(path), "--wc", str(workers)]
        with subprocess.Popen(
            [sys.executable, "-m", "litestar", *words], cwd=ROOT, env=environment(settings)
        ) as process:
            until(lambda: is_served(path))
            process.kill()


def is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        if client.connect_ex(str(path)):
            return False
        client.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        return client.recv(12) == b"HTTP/1.1 200"


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="there is no IPv6 here")
@pytest.mark.parametrize("workers", [1, 2])
def test_the_unspecified_address_takes_ipv4_too(settings: Settings, workers: int) -> None:
    with running(settings, workers, "--host", "::") as (_, address):  # asks at 127.0.0.1
        port = urlsplit(address).port
        assert httpx.get(f"http://[::1]:{port}/health/live").status_code == 200
