"""A worker process serves until it is told to stop, or until its supervisor is gone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import time
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from threading import Thread

from uvicorn import Config

from app.commands import figures
from app.edge.draining import Server

ENDING_SECONDS = 15  # then an orphan ends even if its event loop does not turn any more


def serve_as_worker(
    config: Config,
    drain_seconds: float,
    sockets: list[socket.socket] | None,
    beat: Connection | None = None,
) -> None:
    """Be a worker: its supervisor hands over bound sockets, and hears a beat each second."""
    _leave_terminal()
    if beat:
        os.set_blocking(beat.fileno(), False)  # a supervisor that hangs must not stop us
        config.callback_notify, config.timeout_notify = partial(_send, beat), 0
    server = Server(config, drain_seconds)
    Thread(target=_stop_without_supervisor, args=(server,), daemon=True).start()
    with figures.used():
        server.run(sockets)


def _leave_terminal() -> None:
    """Have the terminal's signals reach the supervisor alone, which passes them on in order."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


async def _send(beat: Connection) -> None:
    with suppress(BlockingIOError, BrokenPipeError):
        os.write(beat.fileno(), b".")


def _stop_without_supervisor(server: Server) -> None:
    """Stop once the parent process has ended, killed perhaps: nobody else would end us then."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    parent.join()
    server.should_exit = True
    time.sleep((server.config.timeout_graceful_shutdown or 0) + ENDING_SECONDS)
    os._exit(1)
