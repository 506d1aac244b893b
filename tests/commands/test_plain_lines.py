"""A port, host, socket or disk that the system refuses is told in one line, without traceback."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import pytest

from app.cli import plain_ends
from app.commands import listening
from tests.support.commands import litestar, on_a_full_disk, urls
from tests.support.servers import Servers

REFUSED: dict[str, Callable[[], object]] = {
    r"--port must be a number from 0 to 65535\.": lambda: listening.bind("127.0.0.1", 70_000),
    "--host a..b: a part of the name is empty or too long": lambda: listening.bind("a..b", 0),
    "--host a{70}: a part of the name is empty": lambda: listening.bind("a" * 70, 0),
    "--host 192.0.2.1: Cannot assign": lambda: listening.bind("192.0.2.1", 0),
    r"--unix-domain-socket /\w+: .*too long": lambda: listening.bind_unix(f"/{'a' * 150}"),
    "--unix-domain-socket /etc/hosts: Address al": lambda: listening.bind_unix("/etc/hosts"),
    "--file-descriptor -1: negative": lambda: listening.adopt(-1),
    r"--file-descriptor \d+: Python int too large": lambda: listening.adopt(1 << 64),
}


@pytest.mark.parametrize("line", REFUSED)
def test_where_nothing_can_listen(line: str) -> None:
    with pytest.raises(SystemExit, match=f"^bicameral: {line}"):
        REFUSED[line]()


async def test_a_port_of_metrics_that_is_the_services_own(servers: Servers, database: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
    env = urls(servers, database) | {"METRICS_PORT": port}
    ended = await litestar("run", "--port", port, env=env)
    assert ended.code == 1
    assert ended.line == f"bicameral: METRICS_PORT: {port} is the service's own; choose another"


async def test_what_a_command_says_cannot_be_written() -> None:
    ended = await on_a_full_disk("version", env={})
    assert ended.code == 1
    assert ended.line == "bicameral: standard output: No space left on device"


def test_a_reader_that_has_gone_is_clicks() -> None:
    with pytest.raises(BrokenPipeError), plain_ends():
        os.write(_closed_pipe(), b"x")


def _closed_pipe() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing
