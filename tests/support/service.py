"""`litestar run` in a process of its own, until it answers; and its orderly end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

import httpx

from app.commands.embedded.host import free_port
from app.config.settings import Settings
from tests.support import pgbouncer, sealing
from tests.support.servers import ROOT

START_SECONDS = 60
STOP_SECONDS = 30


def environment(settings: Settings) -> dict[str, str]:
    """The settings that differ from the defaults, as an operator would export them."""
    urls = {name: value for name, value in settings if name.startswith("database_url") and value}
    exported = {name.upper(): url.get_secret_value() for name, url in urls.items()}
    given = exported | pgbouncer.ENVIRONMENT | sealing.ENVIRONMENT
    return {"PATH": os.environ["PATH"], "RELAY": "off", **given}


@contextmanager
def running(
    settings: Settings, workers: int, *words: str, **more: str
) -> Generator[tuple[subprocess.Popen[bytes], str]]:
    """The process and its address; `words` are more of its command line, `more` are variables."""
    port = free_port()
    command = [sys.executable, "-m", "litestar", "run", "--port", str(port), "--wc", str(workers)]
    environ = environment(settings) | more
    with subprocess.Popen([*command, *words], cwd=ROOT, env=environ) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            answers(process, address)
            yield process, address
        finally:
            process.terminate()


def answers(process: subprocess.Popen[bytes], address: str) -> None:
    """Waits for it. A connection that is refused fails at once, so this asks again and again."""

    def is_answered() -> bool:
        assert process.poll() is None, "it ended before it answered"
        with suppress(httpx.TransportError):
            httpx.get(f"{address}/health/live")
            return True
        return False

    until(is_answered)


def until(is_so: Callable[[], bool], seconds: float = START_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
