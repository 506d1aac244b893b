"""A database that has fallen silent is given up on at once, and asked by us until it answers.

A server that is down refuses connections, and each request fails fast by itself. One that is
frozen, or behind a line that swallows everything, would cost each request its whole timeout. So
when a connection has been held for long, we ask the server ourselves, on one of our own. If it
says anything, its work is merely slow. If it does not, whoever waits for it is told so,
whoever comes is refused at once, and we go on asking: no client pays for finding out that it is
back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakSet

import asyncpg

from app.config.settings import Settings
from app.databases.connection import Connect, DatabaseName, TenantConnection
from app.databases.opening import open_connection
from app.databases.waits import Wait, Waits
from app.telemetry.logs import log

Ask = Callable[[], Awaitable[None]]
PAUSE_SECONDS = 0.5


class SilentDatabaseError(ConnectionError):
    """The database does not answer."""


class Breaker:
    """`ask` returns when the server has said anything; else it raises OSError or TimeoutError."""

    def __init__(self, name: DatabaseName, ask: Ask, *, patience_seconds: float) -> None:
        self.is_open = False
        self._name = name
        self._ask = ask
        self._patience = patience_seconds
        self._waits = Waits(patience_seconds, self._suspect)
        self._connections: WeakSet[TenantConnection] = WeakSet()
        self._asking: asyncio.Task[None] | None = None  # a reference, or it may be collected

    def guard(self, connect: Connect) -> Connect:
        """Raises SilentDatabaseError at once, or TimeoutError when the server falls silent."""

        async def guarded(*_: Any, **__: Any) -> TenantConnection:
            if self.is_open:
                raise SilentDatabaseError
            with Wait(self._waits):
                connection = await connect()
            connection.waits = self._waits
            self._connections.add(connection)
            return connection

        return guarded

    def _suspect(self) -> None:
        self._asking = asyncio.create_task(self._until_it_answers())

    async def _until_it_answers(self) -> None:
        while not await self._answers():
            self._open()
            await asyncio.sleep(PAUSE_SECONDS)
        if self.is_open:
            self.is_open = False
            log.info("database_answers", database=self._name)
        self._waits.watch(pause_seconds=self._patience)

    async def _answers(self) -> bool:
        try:
            await self._ask()
        except (OSError, TimeoutError):
            return False
        return True

    def _open(self) -> None:
        if not self.is_open:
            log.error("database_silent", database=self._name, waiting=len(self._waits))
        self.is_open = True
        self._waits.give_up_all()
        for connection in self._connections:  # those too that nobody holds: they may be dead
            connection.terminate()


def asking(settings: Settings, name: DatabaseName) -> Ask:
    """On a connection of its own: the pool's may all be waiting for the server that is silent."""

    async def ask() -> None:
        try:
            async with asyncio.timeout(settings.health_timeout_seconds):
                connection = await open_connection(settings, name)
                try:
                    await connection.execute("SELECT")
                finally:
                    connection.terminate()
        except (asyncpg.PostgresError, asyncpg.InterfaceError):
            pass  # whatever it says, it speaks

    return ask
