"""Whoever asks is told apart by their address, however the service listens and with any workers."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from app.config.settings import Settings
from tests.support.log_lines import events
from tests.support.servers import ROOT
from tests.support.service import environment, running, until

# Each test starts processes, some for many seconds: run with `pytest -m slow` and by .ci/run slow.
pytestmark = pytest.mark.slow

WORKERS = pytest.mark.parametrize("workers", [1, 2])
START_SECONDS = 60  # a socket that is bound already takes a request before the workers are there
BODY = {"username": "\\acme\\nobody", "password": "a wrong password"}


@contextmanager
def listening(
    settings: Settings, workers: int, *words: str, descriptor: int = -1, **more: str
) -> Generator[None]:
    command = [sys.executable, "-m", "litestar", "run", "--wc", str(workers), *words]
    environ, fds = environment(settings) | more, [descriptor] if descriptor >= 0 else []
    with subprocess.Popen(command, cwd=ROOT, env=environ, pass_fds=fds) as process:
        try:
            yield
        finally:
            process.terminate()


def log_in(transport: httpx.HTTPTransport, port: int, host: str, *forwarded: str) -> int:
    headers = [("X-Forwarded-For", address) for address in forwarded]
    with httpx.Client(transport=transport, timeout=START_SECONDS) as client:
        url = f"http://{host}:{port}/v1/auth/login"
        return client.post(url, json=BODY, headers=headers).status_code


def callers(written: str) -> list[str]:
    """Return the digests of the callers' addresses in the log of refused logins."""
    return [str(line["address"]) for line in events(written, "login_refused")]


@WORKERS
def test_ipv4_is_served_beside_ipv6_and_each_address_counts_by_itself(
    settings: Settings, workers: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """A socket of IPv6 sees addresses of IPv4 mapped, which would all be one network of IPv6."""
    with running(settings, workers, "--host", "::") as (_, address):
        port = int(address.rpartition(":")[2])
        for source in ("127.0.0.2", "127.0.0.3"):
            assert log_in(httpx.HTTPTransport(local_address=source), port, "127.0.0.1") == 401
        for forwarded in ("203.0.113.1", "203.0.113.2"):  # nobody is trusted to say so
            assert log_in(httpx.HTTPTransport(), port, "[::1]", forwarded) == 401
    two, three, own, own_again = callers(capfd.readouterr().err)
    assert own == own_again
    assert len({two, three, own}) == 3


@pytest.mark.parametrize(
    ("workers", "trusted", "number"), [(1, "unix", 2), (2, "unix", 2), (1, "127.0.0.1", 1)]
)
def test_behind_a_unix_socket_the_proxy_tells_whose_request_it_is(
    settings: Settings,
    tmp_path: Path,
    workers: int,
    trusted: str,
    number: int,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = str(tmp_path / "socket")

    def is_listening() -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return not probe.connect_ex(path)

    with listening(settings, workers, "--uds", path, TRUSTED_PROXIES=trusted):
        until(is_listening)
        for forwarded in ("192.0.2.1", "192.0.2.2"):
            assert log_in(httpx.HTTPTransport(uds=path), 80, "bicameral", forwarded) == 401
    assert len(set(callers(capfd.readouterr().err))) == number


@WORKERS
def test_a_socket_that_somebody_else_has_bound_is_served(settings: Settings, workers: int) -> None:
    """systemd hands one over, and goes on holding it, too."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        descriptor, port = bound.fileno(), bound.getsockname()[1]
        with listening(settings, workers, "--fd", str(descriptor), descriptor=descriptor):
            until(lambda: log_in(httpx.HTTPTransport(), port, "127.0.0.1") == 401)
