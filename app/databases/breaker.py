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
import time
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakSet

import asyncpg

from app.config.settings import Settings
from app.databases.connection import Connect, DatabaseName, TenantConnection, Waiting
from app.databases.opening import open_connection
from app.telemetry.logs import log

Ask = Callable[[], Awaitable[None]]
PAUSE_SECONDS = 0.5
LOOKS = 8  # at those who wait, in the time that one of them may wait


class SilentDatabaseError(ConnectionError):
    """The database does not answer."""


class Opening:
    """A connection that is being opened waits for the server, too."""

    def __init__(self, timeout: asyncio.Timeout) -> None:
        self.since = time.monotonic()
        self._timeout = timeout

    def give_up(self) -> None:
        if not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time())


class Breaker:
    """`ask` returns when the server has said anything; else it raises OSError or TimeoutError.

    One timer looks at all who wait: one for each of them would cost every statement more.
    """

    def __init__(self, name: DatabaseName, ask: Ask, *, patience_seconds: float) -> None:
        self.is_open = False
        self._name = name
        self._ask = ask
        self._patience = patience_seconds
        self._waiting: dict[Waiting, None] = {}  # the oldest first
        self._connections: WeakSet[TenantConnection] = WeakSet()
        self._is_watching = False
        self._asking: asyncio.Task[None] | None = None  # a reference, or it may be collected

    def guard(self, connect: Connect) -> Connect:
        """Raises SilentDatabaseError at once, or TimeoutError when the server falls silent."""

        async def guarded(*_: Any, **__: Any) -> TenantConnection:
            if self.is_open:
                raise SilentDatabaseError
            if not self._is_watching:
                self._watch()
            connection = await self._opened(connect)
            connection.waiting = self._waiting
            self._connections.add(connection)
            return connection

        return guarded

    async def _opened(self, connect: Connect) -> TenantConnection:
        async with asyncio.timeout(None) as timeout:
            opening = Opening(timeout)
            self._waiting[opening] = None
            try:
                return await connect()
            finally:
                self._waiting.pop(opening, None)

    def _watch(self, seconds: float = 0) -> None:
        """Look again and again, for as long as there are connections."""
        self._is_watching = True
        pause = max(seconds, self._patience / LOOKS)
        asyncio.get_running_loop().call_later(pause, self._look)

    def _look(self) -> None:
        oldest = next(iter(self._waiting), None)
        if oldest and time.monotonic() - oldest.since >= self._patience:
            self._asking = asyncio.create_task(self._until_it_answers())
        elif oldest or self._connections:
            self._watch()
        else:
            self._is_watching = False

    async def _until_it_answers(self) -> None:
        while not await self._answers():
            self._open()
            await asyncio.sleep(PAUSE_SECONDS)
        if self.is_open:
            self.is_open = False
            log.info("database_answers", database=self._name)
        self._watch(self._patience)

    async def _answers(self) -> bool:
        try:
            await self._ask()
        except (OSError, TimeoutError):
            return False
        return True

    def _open(self) -> None:
        if not self.is_open:
            log.error("database_silent", database=self._name, waiting=len(self._waiting))
        self.is_open = True
        for one in self._waiting:
            one.give_up()
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
