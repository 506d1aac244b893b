"""Options of our connections' sockets, and what the kernel knows of their lines.

A NAT or a load balancer forgets a connection that has been still for some minutes, and swallows
what is sent on it afterwards. Keepalives keep it from being still, and notice a dead line that
nobody uses; TCP_USER_TIMEOUT notices one by what is sent and not acknowledged.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping

# What we ask for where the URL says nothing; the system's own first probe comes after two hours.
KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 5, "keepalives_count": 3}
# libpq's names for them. Not every platform has each; macOS has a name of its own for the first.
OPTIONS = {
    "keepalives_idle": ("TCP_KEEPIDLE", "TCP_KEEPALIVE"),
    "keepalives_interval": ("TCP_KEEPINTVL",),
    "keepalives_count": ("TCP_KEEPCNT",),
    "tcp_user_timeout": ("TCP_USER_TIMEOUT",),
}
LAST_DATA_RECEIVED = struct.Struct("52xI")  # of Linux's struct tcp_info, in milliseconds


def set_options(line: socket.socket, given: Mapping[str, int], *, unacknowledged_ms: int) -> None:
    """Set what the URL says, as libpq does, and our own defaults for what it leaves out."""
    if line.family not in (socket.AF_INET, socket.AF_INET6):
        return
    wanted = {"keepalives": 1, **KEEPALIVES, "tcp_user_timeout": unacknowledged_ms, **given}
    if not wanted.pop("keepalives"):
        wanted = {"tcp_user_timeout": wanted["tcp_user_timeout"]}
    else:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _numbers(wanted):
        line.setsockopt(socket.IPPROTO_TCP, option, value)


def _numbers(wanted: Mapping[str, int]) -> Iterator[tuple[int, int]]:
    """Yield the platform's numbers; zero or less means the system's own value, as to libpq."""
    for name, value in wanted.items():
        found = [getattr(socket, one) for one in OPTIONS[name] if hasattr(socket, one)]
        if found and value > 0:
            yield found[0], value


def seconds_since_data(line: socket.socket) -> float | None:
    """Tell when the line last brought anything, where the kernel says so."""
    if not hasattr(socket, "TCP_INFO"):
        return None
    try:
        size = LAST_DATA_RECEIVED.size
        info = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, size)
        return float(LAST_DATA_RECEIVED.unpack(info)[0]) / 1000
    except (OSError, struct.error):  # a Unix socket has no line
        return None
