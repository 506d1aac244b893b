"""`litestar run` twice, as an operator starts it, and what its processes hold."""

from __future__ import annotations

import asyncio
import signal
import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

import httpx
import psutil

from app.commands.embedded.host import free_port
from tests.support.servers import ROOT

# To load certificates for each client anew would stop all of them for a while.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
READY_SECONDS = 120.0
STOP_SECONDS = 60.0
CLOSED_SECONDS = 30.0
PAUSE_SECONDS = 0.1  # between two questions to what has no event for us


class Held(NamedTuple):
    """The memory, connections and files that one process holds."""

    rss_bytes: int
    descriptors: int
    from_clients: int
    to_databases: int

    @property
    def others(self) -> int:
        return self.descriptors - self.from_clients - self.to_databases


@dataclass
class Replica:
    name: str
    environ: dict[str, str]
    log: Path
    port: int = field(default_factory=free_port)
    starts: int = 0
    _process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it was never started"
        return self._process

    async def start(self) -> None:
        """Start it, and wait until it is ready."""
        command = [sys.executable, "-m", "litestar", "run", "--port", str(self.port)]
        with await asyncio.to_thread(self.log.open, "ab") as log:
            self._process = await asyncio.to_thread(self._run, command, log)
        self.starts += 1
        await self.is_ready()

    def _run(self, command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, cwd=ROOT, env=self.environ, stdout=log, stderr=log)

    async def is_ready(self) -> None:
        async with httpx.AsyncClient(verify=NO_TLS) as http:
            await until(lambda: self._answers(http), READY_SECONDS)

    async def _answers(self, http: httpx.AsyncClient) -> bool:
        assert self.process.poll() is None, f"{self.name} ended: {self._last_words()}"
        try:
            return (await http.get(f"{self.address}/health/ready")).status_code == 200
        except httpx.TransportError:
            return False

    def _last_words(self) -> str:
        return self.log.read_text()[-1000:]

    async def stop(self) -> int:
        """Told to, as an operator does it. Its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait, STOP_SECONDS)

    async def kill(self) -> None:
        self.process.kill()
        await asyncio.to_thread(self.process.wait, STOP_SECONDS)

    def end(self) -> None:
        """However the test ended."""
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)

    def size(self) -> tuple[int, int]:
        """Bytes of memory, and how many descriptors are open."""
        process = psutil.Process(self.process.pid)
        memory: int = process.memory_info().rss
        return memory, process.num_fds()

    def held(self) -> Held:
        process = psutil.Process(self.process.pid)
        with process.oneshot():
            sockets = process.net_connections("tcp")
            of_clients = [one for one in sockets if one.raddr and one.laddr.port == self.port]
            to_others = [one for one in sockets if one.raddr and one.laddr.port != self.port]
            memory: int = process.memory_info().rss
            return Held(memory, process.num_fds(), len(of_clients), len(to_others))

    async def has_closed(self, port: int) -> bool:
        """The connection whose other end that is."""
        try:
            process = psutil.Process(self.process.pid)
            sockets = await asyncio.to_thread(process.net_connections, "tcp")
        except psutil.Error:
            return True  # it is being killed
        return all(not one.raddr or one.raddr.port != port for one in sockets)

    async def without_clients(self) -> Held:
        """Once every client's connection has been closed on this side, too."""
        with suppress(TimeoutError):
            await until(self._has_no_clients, CLOSED_SECONDS)
        return await asyncio.to_thread(self.held)

    async def _has_no_clients(self) -> bool:
        return not (await asyncio.to_thread(self.held)).from_clients


async def until(
    is_so: Callable[[], Awaitable[bool]], seconds: float, pause: float = PAUSE_SECONDS
) -> None:
    """Asks again and again what has no event for us. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not await is_so():  # noqa: ASYNC110  there is none
            await asyncio.sleep(pause)
