"""The service and its peers as processes: how each is started, and what it costs."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from app.commands.embedded.host import free_port, within
from app.config.settings import Settings
from tests.benchmarks.world import BenchmarkError, Pair, Servers

ROOT = Path(__file__).parents[2]
FASTIFY = Path(__file__).parent / "peers" / "fastify"
UVICORN = ("--host", "127.0.0.1", "--loop", "uvloop", "--http", "httptools", "--no-access-log")
POOL_SIZE = 16  # connections to each database, for everybody
START_SECONDS = 60.0
STOP_SECONDS = 30.0
Command = Callable[[int], tuple[str, ...]]


@dataclass(frozen=True)
class Contestant:
    """`command` of a port. A peer is given its own environment and pool size."""

    name: str
    command: Command
    folder: Path = ROOT
    environment: dict[str, str] = field(default_factory=dict[str, str])
    is_ours: bool = False

    def variables(self, pair: Pair) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if k.lower() not in Settings.model_fields}
        pool = {"DB_POOL_SIZE": str(POOL_SIZE), "DB_MAX_OVERFLOW": "0"}
        peer = {"PEER_POOL_SIZE": str(POOL_SIZE), "NODE_ENV": "production"}
        own = pair.for_service() | pool if self.is_ours else pair.for_peer() | peer
        return inherited | own | self.environment


def litestar_run(
    port: int, workers: int = 1, python: Path = Path(sys.executable)
) -> tuple[str, ...]:
    command = (str(python), "-m", "litestar", "run", "--port", str(port))
    return (*command, "--web-concurrency", str(workers))


def _uvicorn(module: str) -> Command:
    app = f"tests.benchmarks.peers.{module}:app"
    return lambda port: (sys.executable, "-m", "uvicorn", app, "--port", str(port), *UVICORN)


OUR_NAME = "Bicameral"
SQLMODEL = "FastAPI + SQLModel"
SQLALCHEMY = "FastAPI + SQLAlchemy async"
ASYNCPG = "Litestar + asyncpg"
NODE = "fastify + postgres.js"
OUR_OWN = Contestant(OUR_NAME, litestar_run, is_ours=True)
PYTHON_PEERS = (
    Contestant(SQLMODEL, _uvicorn("fastapi_sqlmodel")),
    Contestant(SQLALCHEMY, _uvicorn("fastapi_sqlalchemy")),
    Contestant(ASYNCPG, _uvicorn("litestar_asyncpg")),
)
BARE = Contestant("asyncpg alone", _uvicorn("bare"))


def contestants(out: Path, say: Callable[[str], None]) -> list[Contestant]:
    """All that this machine can run."""
    node = _fastify(out / "fastify", say)
    return [OUR_OWN, *PYTHON_PEERS, *([node] if node else [])]


def _fastify(folder: Path, say: Callable[[str], None]) -> Contestant | None:
    """Installed beside the results, as its lock file says; None where that cannot be done."""
    if not shutil.which("node") or not shutil.which("npm"):
        say(f"Without {NODE}: there is no node and npm here.")
        return None
    shutil.copytree(FASTIFY, folder, dirs_exist_ok=True)
    install = ("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
    done = subprocess.run(install, cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode:
        say(f"Without {NODE}: npm ci failed in {folder}: {done.stderr.strip().splitlines()[-1:]}")
        return None
    return Contestant(NODE, lambda port: ("node", "server.mjs", str(port)), folder)


@dataclass(frozen=True)
class Running:
    """A contestant that answers."""

    contestant: Contestant
    url: str
    process: psutil.Process
    seconds_to_answer: float

    def processes(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.processes())

    def rss_mb(self) -> float:
        return sum(one.memory_info().rss for one in self.processes()) / 1e6


@contextmanager
def running(contestant: Contestant, pair: Pair, logs: Path) -> Generator[Running]:
    """Run in a session of its own: the terminal's Ctrl-C is for us, who then stop it in order."""
    port, began = free_port(), time.perf_counter()
    log = logs / f"{contestant.name.replace(' ', '')}.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            contestant.command(port),
            cwd=contestant.folder,
            env=contestant.variables(pair),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        within(START_SECONDS, lambda: _answers(port) or child.poll() is not None)
        if child.poll() is not None or not _answers(port):
            raise BenchmarkError(f"{contestant.name} does not start; see {log}")
        seconds = time.perf_counter() - began
        url = f"http://127.0.0.1:{port}"
        yield Running(contestant, url, psutil.Process(child.pid), seconds)
    finally:
        _stop(child)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
    try:
        connection.request("GET", "/health/live")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _stop(child: subprocess.Popen[bytes]) -> None:
    """With all its workers."""
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(child.pid).children(recursive=True)
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(STOP_SECONDS)
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.kill()
    child.kill()
    child.wait()


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """Sum the time of these processes and of their children that have ended."""
    total = 0.0
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total += times.user + times.system
            total += times.children_user + times.children_system
    return total


def postgres_cpu_seconds(servers: Servers) -> float:
    return sum(cpu_seconds(server.processes()) for server in servers)
