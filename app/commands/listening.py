"""Opens the socket that a service listens on; what keeps it from that is one line."""

from __future__ import annotations

import errno
import os
import socket
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from app.config.database_url import LAST_PORT
from app.config.settings import stop

# The workers of a run that was killed just now let go of its port a moment later.
PATIENCE_SECONDS = 2.0
POLL_SECONDS = 0.05
ADVICE = {
    errno.EADDRINUSE: "is in use; choose another with --port.",
    errno.EACCES: "permission denied; choose one above 1023 with --port.",
}


def bind(host: str, port: int) -> socket.socket:
    """Bind a socket that does not listen yet; a name means its first address, IPv4 before IPv6."""
    family, address = _resolve(host, port)
    try:
        return _patiently(partial(bind_to, family, address))
    except OSError as error:
        raise stop(_line(error, host, port)) from None


def _patiently(act: Callable[[], socket.socket]) -> socket.socket:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return act()
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise
        time.sleep(POLL_SECONDS)


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    if not 0 <= port <= LAST_PORT:  # the resolver would take what is left of it
        raise stop(f"--port must be a number from 0 to {LAST_PORT}.")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise stop(f"--host {host}: {error.strerror}") from None
    except UnicodeError:
        raise stop(f"--host {host}: a part of the name is empty or too long") from None
    return min((family, address) for family, _, _, _, address in found)


def bind_to(
    family: socket.AddressFamily, address: Any, *, is_shared: bool = False
) -> socket.socket:
    """Bind a socket; shared, it is one of several at the same port."""
    bound = socket.socket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:  # `::` takes IPv4 too, whatever the system's default
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def _line(error: OSError, host: str, port: int) -> str:
    if advice := ADVICE.get(error.errno or 0):
        return f"port {port}: {advice}" if error.errno == errno.EACCES else f"port {port} {advice}"
    return f"--host {host}: {error.strerror}"


def bind_unix(path: str) -> socket.socket:
    """Bind a Unix socket that everybody may connect to, in place of one that nobody serves."""
    try:
        return _patiently(partial(_bind_unix, Path(path)))
    except OSError as error:
        words = error.strerror or str(error)  # of a path that is too long only the latter tells
        raise stop(f"--unix-domain-socket {path}: {words}") from None


def _bind_unix(path: Path) -> socket.socket:
    _remove_unless_served(path)
    bound = socket.socket(socket.AF_UNIX)
    try:
        bound.bind(os.fspath(path))
        path.chmod(0o666)
    except OSError:
        bound.close()
        raise
    return bound


def _remove_unless_served(path: Path) -> None:
    with suppress(FileNotFoundError), socket.socket(socket.AF_UNIX) as probe:
        if stat.S_ISSOCK(path.lstat().st_mode) and probe.connect_ex(os.fspath(path)):
            path.unlink()


def adopt(descriptor: int) -> socket.socket:
    """Take over a socket that whoever started this process has bound."""
    try:
        return socket.socket(fileno=descriptor)
    except (OSError, ValueError, OverflowError) as error:
        words = getattr(error, "strerror", None) or error
        raise stop(f"--file-descriptor {descriptor}: {words}") from None
