"""Asks a server, over a connection of its own, what it does for the connections that wait for it.

The pool's may all be waiting for a server that is silent; and a line that forgot them lets new ones
pass. There a backend that is idle, or gone, tells that its connection waits in vain.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import asyncpg

from app.config.settings import Settings
from app.databases.connection import Backend, DatabaseName, TenantConnection
from app.databases.opening import open_connection
from app.databases.sockets import seconds_since_data
from app.databases.timeouts import awake_timeout

Idle = Mapping[Backend, float | None]  # for how many seconds; None: it is not idle
Judge = Callable[[Idle], Sequence[Backend]]
Ask = Callable[[Judge], Awaitable[None]]

# A role sees the states of its own backends, unless the server tracks none ('disabled').
BACKENDS = """
SELECT pid, backend_start,
       CASE WHEN state LIKE 'idle%'
            THEN extract(epoch FROM clock_timestamp() - state_change)::float8 END AS idle_seconds
FROM pg_stat_activity WHERE usename = session_user
"""
# What such a backend has locked would stay so until its own timeouts.
END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE state LIKE 'idle%' AND (pid, backend_start) IN (
    SELECT * FROM unnest($1::int[], $2::timestamptz[])
)
"""


def asking(settings: Settings, name: DatabaseName) -> Ask:
    """Return a question that ends when the server has said anything.

    `judge` hears which backends there are, and returns those of connections that it gave up. Behind
    PgBouncer a connection has no backend of its own, and nobody is judged. The question raises
    OSError or TimeoutError when the server is silent.
    """

    async def ask(judge: Judge) -> None:
        try:
            async with awake_timeout(settings.health_timeout_seconds):
                connection = await open_connection(settings, name)
                try:
                    await _ask(connection, judge)
                finally:
                    connection.terminate()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            pass  # whatever it says, it speaks

    return ask


async def _ask(connection: TenantConnection, judge: Judge) -> None:
    if connection.behind_pgbouncer:
        await connection.execute("SELECT")
        return
    rows = await connection.fetch(BACKENDS)
    if ended := judge({(row["pid"], row["backend_start"]): row["idle_seconds"] for row in rows}):
        await connection.execute(END, *map(list, zip(*ended, strict=True)))


def waits_in_vain(connection: TenantConnection, idle: Idle, still_seconds: float) -> bool:
    """Tell from what its backend does whether an answer can still come on a connection.

    A large answer may be on its way for long, though its backend is idle again.
    """
    backend = connection.backend
    if backend is None or backend not in idle:
        return backend is not None
    idle_seconds, silent_seconds = idle[backend], seconds_since_data(connection.line)
    is_idle = idle_seconds is not None and idle_seconds >= still_seconds
    return is_idle and (silent_seconds is None or silent_seconds >= still_seconds)
