"""Closes the connections that a pool is done with, in tasks that no request waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import asyncpg

from app.databases.connection import TenantConnection

CLOSE_SECONDS = 2
# A statement that nobody waits for any more, since its client has gone, may end by itself for so
# long. Most take a hundredth of it; a new connection, on a busy machine, costs more than to wait.
ENDS_WITHIN_SECONDS = 0.25


class Closing:
    """Runs what ends connections, each in a task of its own."""

    def __init__(self) -> None:
        self._tasks = set[asyncio.Task[None]]()

    def close(self, connection: TenantConnection) -> asyncio.Task[None]:
        """Close it; the driver first has the server stop what was cancelled."""
        return self.beside(_close(connection))

    def beside(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @property
    def is_under_way(self) -> bool:
        return bool(self._tasks)

    async def wait(self) -> None:
        await asyncio.wait(self._tasks)


async def let_end(
    connection: TenantConnection, ending: asyncio.Future[None], seconds: float
) -> None:
    """Wait for a statement to end by itself; if it does not, the connection is spoiled.

    No cancel request is sent meanwhile: it might arrive late, and hit the next statement.
    """
    await asyncio.wait({ending}, timeout=seconds)
    if ending.done():
        connection.ending = None
    else:
        connection.is_spoiled = True


async def _close(connection: TenantConnection) -> None:
    connection.stop_what_is_ending()
    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        await connection.close(timeout=CLOSE_SECONDS)
    connection.terminate()
