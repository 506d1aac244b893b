"""The kernel is told to notice a line that is dead, and to keep one alive that is idle."""

from __future__ import annotations

import socket
from errno import ECONNRESET, ETIMEDOUT

import asyncpg
import pytest

from app.databases.causes import may_ask_again
from app.databases.opening import open_connection
from app.databases.sockets import seconds_since_data, set_options
from tests.support.servers import Servers, settings_for

OPTIONS = ["TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT"]
BY_OURSELVES = [1, 30, 5, 3, 6_000]
IN_THE_URL = {
    "keepalives_idle=60&keepalives_count=9": [1, 60, 5, 9, 6_000],
    "keepalives_interval=7&tcp_user_timeout=12000": [1, 30, 7, 3, 12_000],
}

pytestmark = pytest.mark.skipif(
    not all(hasattr(socket, name) for name in OPTIONS), reason="this platform has not all of them"
)


async def options_of(servers: Servers, database: str, parameters: str) -> list[int]:
    url = f"postgresql://bicameral_app@127.0.0.1:{servers.user.port}/{database}?{parameters}"
    settings = settings_for(servers, database, database_url_user=url, db_silence_seconds=3)
    connection = await open_connection(settings, "user")
    try:
        return shown(connection.line)
    finally:
        await connection.close()


def shown(line: socket.socket) -> list[int]:
    numbers = [getattr(socket, name) for name in OPTIONS]
    keepalive = line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    return [keepalive, *(line.getsockopt(socket.IPPROTO_TCP, number) for number in numbers)]


async def test_a_connection_is_kept_alive_without_being_asked(
    servers: Servers, database: str
) -> None:
    assert await options_of(servers, database, "") == BY_OURSELVES


@pytest.mark.parametrize("parameters", IN_THE_URL)
async def test_what_the_url_says_is_done(servers: Servers, database: str, parameters: str) -> None:
    assert await options_of(servers, database, parameters) == IN_THE_URL[parameters]


async def test_the_url_may_turn_them_off(servers: Servers, database: str) -> None:
    off = await options_of(servers, database, "keepalives=0&tcp_user_timeout=0")
    assert (off[0], off[-1]) == (0, 0)


def test_a_unix_socket_has_no_line() -> None:
    here, there = socket.socketpair()
    with here, there:
        set_options(here, {}, unacknowledged_ms=4000)
        assert seconds_since_data(here) is None


@pytest.mark.parametrize("number", [ETIMEDOUT, ECONNRESET])
def test_what_the_kernel_gave_up_is_asked_elsewhere(number: int) -> None:
    """Python calls ETIMEDOUT a TimeoutError, too; one of ours has used up the time there is."""
    lost = asyncpg.ConnectionDoesNotExistError("closed in the middle of operation")
    lost.__cause__ = OSError(number, "")
    assert may_ask_again(lost)
    lost.__cause__ = TimeoutError()
    assert not may_ask_again(lost)
