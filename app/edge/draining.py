"""The server: how it takes connections, and how it stops taking them.

On SIGTERM a process first is unready, then takes no new connections, then ends.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from threading import current_thread, main_thread
from types import FrameType
from typing import Any

import uvicorn

from app.config.settings import Settings
from app.edge.protocol import BoundedProtocol

POLL_SECONDS = 0.05
ACCEPTS = 16


@contextmanager
def delayed_stop(begin: Callable[[], None], seconds: float) -> Generator[None]:
    """On SIGTERM calls `begin`, and lets the server know only after `seconds`.

    Meanwhile whoever routes requests here can see that this process is no longer ready. A second
    SIGTERM is passed on at once. Without a server that has a handler for it nothing is changed.
    """
    stop = signal.getsignal(signal.SIGTERM)
    if not callable(stop) or current_thread() is not main_thread():
        yield
        return
    loop, is_draining = asyncio.get_running_loop(), False

    def drain(number: int, frame: FrameType | None) -> None:
        nonlocal is_draining
        if is_draining:
            stop(number, frame)
            return
        is_draining = True
        begin()
        loop.call_soon_threadsafe(loop.call_later, seconds, stop, number, frame)

    signal.signal(signal.SIGTERM, drain)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, stop)


def server_options(settings: Settings) -> dict[str, Any]:
    """Arguments for uvicorn."""
    return {
        "http": partial(BoundedProtocol, settings=settings),
        "ws": "none",
        "server_header": False,
        "proxy_headers": False,  # uvicorn would believe all of this machine; see forwarded.py
    }


class Server(uvicorn.Server):
    """A server that, when it stops, answers the requests that are on their way to it, too."""

    def __init__(self, config: uvicorn.Config, drain_seconds: float) -> None:
        super().__init__(config)
        # An idle connection ends by itself within `timeout_keep_alive`. Nobody drains: no waiting.
        grace_seconds = config.timeout_graceful_shutdown or config.timeout_keep_alive
        longest = min(config.timeout_keep_alive, grace_seconds)
        self._idle_seconds = longest if drain_seconds else 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Take up to ACCEPTS new connections in each turn of the loop.

        uvloop takes one for each socket that listens. Behind a crowd of connections, in turns that
        a crowd of requests makes long, a newcomer would wait for seconds.
        """
        await super().startup([one.dup() for one in sockets or () for _ in range(ACCEPTS)] or None)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no new connections, and wait for the idle ones before they are closed.

        A request that arrives while its connection is being closed is answered by a reset.
        """
        for server in self.servers:
            server.close()
        for listening in sockets or ():
            await self._take_what_came(listening)
            listening.close()
        began = asyncio.get_running_loop().time()
        while (waited := asyncio.get_running_loop().time() - began) < self._idle_seconds:
            if self.force_exit or not self._has_idle_clients():
                break
            await asyncio.sleep(POLL_SECONDS)
        if self.config.timeout_graceful_shutdown:
            self.config.timeout_graceful_shutdown -= int(waited)
        await super().shutdown(sockets)

    async def _take_what_came(self, listening: socket.socket) -> None:
        """Accept the connections that wait for it; closing the socket would reset them."""
        loop, config = asyncio.get_running_loop(), self.config
        listening.setblocking(False)
        while True:
            try:
                connection, _ = listening.accept()
            except BlockingIOError:
                return
            await loop.connect_accepted_socket(self._protocol, connection, ssl=config.ssl)

    def _protocol(self) -> asyncio.Protocol:
        protocol: Any = self.config.http_protocol_class
        made: asyncio.Protocol = protocol(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    def _has_idle_clients(self) -> bool:
        connections: set[Any] = self.server_state.connections
        return any(one.cycle is None or one.cycle.response_complete for one in connections)
