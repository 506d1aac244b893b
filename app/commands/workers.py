"""Serves with several worker processes, which start, are renewed and stop as one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Protocol

from uvicorn.config import STARTUP_FAILURE

from app.telemetry import log

SPAWN = multiprocessing.get_context("spawn")
LOOK_SECONDS = 0.2
SILENCE_SECONDS = 60  # a worker whose event loop does not turn for so long is killed
PAUSE_SECONDS = 1.0  # between two starts of a worker that ends again and again


class Serve(Protocol):
    """The main function of a worker process; it is pickled on the way there."""

    def __call__(self, sockets: list[socket.socket], beat: Connection) -> None: ...


class Worker:
    """One process that serves; its event loop sends a beat each second, the first when ready."""

    def __init__(self, serve: Serve, listener: socket.socket) -> None:
        self._beats, beat = SPAWN.Pipe(duplex=False)
        self._process = SPAWN.Process(target=serve, kwargs={"sockets": [listener], "beat": beat})
        _start_deaf(self._process)
        beat.close()
        self.is_ready = False
        self.started_at = self._beat_at = time.monotonic()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def sentinel(self) -> int:
        """A descriptor that becomes readable when the process ends."""
        return self._process.sentinel

    @property
    def exit_code(self) -> int | None:
        return self._process.exitcode

    def hear(self) -> None:
        while self._beats.poll() and os.read(self._beats.fileno(), 4096):
            self.is_ready, self._beat_at = True, time.monotonic()

    @property
    def is_silent(self) -> bool:
        return time.monotonic() - self._beat_at > SILENCE_SECONDS

    def send(self, number: int) -> None:
        """Pass the signal on; one that is not ready yet listens to SIGTERM alone."""
        if self.exit_code is None and self.pid:
            is_deaf = number == signal.SIGINT and not self.is_ready
            os.kill(self.pid, signal.SIGTERM if is_deaf else number)


def _start_deaf(process: SpawnProcess) -> None:
    """Start a process that ignores SIGINT until its server has a handler for it.

    A terminal sends it to all, and whoever is importing then would end with a traceback.
    """
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, handler)


class Slot:
    """A listener and the worker that serves on it, for a while with its successor.

    The listener stays open here. So connections that wait to be accepted outlive a worker, and
    whichever serves next accepts them: a socket that is closed would reset them.
    """

    def __init__(self, serve: Serve, listener: socket.socket, stop_seconds: float) -> None:
        self.listener = listener
        self._serve, self._stop_seconds = serve, stop_seconds
        self._worker = Worker(serve, listener)
        self._successor: Worker | None = None
        self._leaving: dict[Worker, float] = {}  # until when each may take
        self._has_served = False

    @property
    def workers(self) -> list[Worker]:
        successor = [self._successor] if self._successor else []
        return [self._worker, *successor, *self._leaving]

    @property
    def is_settled(self) -> bool:
        return self._successor is None and not self._leaving

    def renew(self) -> None:
        """Start a successor; the present worker goes on until that one is ready."""
        self._successor = Worker(self._serve, self.listener)

    def look(self) -> None:
        """Do what is due. Raises ChildProcessError when the first worker refuses to serve.

        One that was killed has not refused: another takes its place.
        """
        for one in self.workers:
            one.hear()
        self._has_served = self._has_served or self._worker.is_ready
        self._look_at_leaving()
        self._look_at_successor()
        self._look_at_worker()

    def _look_at_leaving(self) -> None:
        for one, deadline in [*self._leaving.items()]:
            if one.exit_code is not None:
                del self._leaving[one]
            elif time.monotonic() > deadline:
                one.send(signal.SIGKILL)

    def _look_at_successor(self) -> None:
        if self._successor is None:
            return
        if self._successor.is_ready:
            self._worker.send(signal.SIGTERM)
            self._leaving[self._worker] = time.monotonic() + self._stop_seconds
            self._worker, self._successor = self._successor, None
        elif self._successor.exit_code is not None or self._successor.is_silent:
            self._successor.send(signal.SIGKILL)
            log.error("worker_not_renewed", kept=self._worker.pid, failed=self._successor.pid)
            self._successor = None

    def _look_at_worker(self) -> None:
        one = self._worker
        if one.exit_code is None and one.is_silent:
            log.error("worker_silent", worker=one.pid, seconds=SILENCE_SECONDS)
            one.send(signal.SIGKILL)
        elif one.exit_code is not None and time.monotonic() > one.started_at + PAUSE_SECONDS:
            log.error("worker_ended", worker=one.pid, exit_code=one.exit_code)
            if one.exit_code > 0 and not self._has_served:
                raise ChildProcessError
            self._worker = Worker(self._serve, self.listener)


class Supervisor:
    """Keeps one worker at each listener. SIGHUP renews them one by one, without losing any client.

    Other signals are passed on: all stop, and a second one means what it means to a worker.
    """

    def __init__(
        self, serve: Serve, listeners: Sequence[socket.socket], stop_seconds: float
    ) -> None:
        self._serve, self._listeners, self._stop_seconds = serve, listeners, stop_seconds
        self._slots: list[Slot] = []
        self._to_renew: deque[Slot] = deque()
        self._signals: deque[int] = deque()
        self._deadline: float | None = None  # set when all are told to stop: then they are killed
        self._is_at_terminal = os.isatty(2)

    def run(self) -> int:
        """Serve until told to stop, and return the process's exit code."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)
        self._slots = [Slot(self._serve, one, self._stop_seconds) for one in self._listeners]
        exit_code = 0
        while self._deadline is None or self._alive():
            wait([one.sentinel for one in self._alive()], LOOK_SECONDS)
            self._obey()
            try:
                self._look()
            except ChildProcessError:
                exit_code = STARTUP_FAILURE
                self._stop(signal.SIGTERM)
        return exit_code

    def _note(self, number: int, _: FrameType | None) -> None:
        self._signals.append(number)

    def _alive(self) -> list[Worker]:
        return [one for slot in self._slots for one in slot.workers if one.exit_code is None]

    def _obey(self) -> None:
        while self._signals:
            number = self._signals.popleft()
            if number != signal.SIGHUP:
                self._stop(number)
            elif self._is_at_terminal and not os.isatty(2):
                self._stop(signal.SIGTERM)  # the terminal was closed
            elif not self._to_renew:
                self._to_renew.extend(self._slots)

    def _stop(self, number: int) -> None:
        if self._deadline is None:
            self._deadline = time.monotonic() + self._stop_seconds
            for listener in self._listeners:
                listener.close()  # each worker has its own hold of it, for as long as it takes
        for one in self._alive():
            one.send(number)

    def _look(self) -> None:
        if self._deadline is None:
            for slot in self._slots:
                slot.look()
            self._renew_next()
        elif time.monotonic() > self._deadline:
            for one in self._alive():
                one.send(signal.SIGKILL)

    def _renew_next(self) -> None:
        if self._to_renew and all(slot.is_settled for slot in self._slots):
            self._to_renew.popleft().renew()
