"""A database that has fallen silent is given up on at once, and asked by us until it answers.

A server that is down refuses connections, and each request fails fast by itself. One that is
frozen, or behind a line that swallows everything, would cost each request its whole timeout. So
when a connection has been held for long, we ask the server ourselves, on one of our own. If it
does not say anything, whoever waits for it is told so, whoever comes is refused at once, and we go
on asking: no client pays for finding out that it is back.

If it answers, it may be slow, or the line may have forgotten those who wait: it says which of their
backends have nothing to do, and those connections are given up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any
from weakref import WeakSet

from app.databases.backends import Ask, Idle, waits_in_vain
from app.databases.connection import Backend, Connect, DatabaseName, TenantConnection, Waiting
from app.telemetry.logs import log

PAUSE_SECONDS = 0.5
LOOKS = 8  # at those who wait, in the time that one of them may wait


class SilentDatabaseError(ConnectionError):
    """The database does not answer."""


class Opening:
    """A connection that is being opened waits for the server, too."""

    def __init__(self, timeout: asyncio.Timeout) -> None:
        self._timeout = timeout

    def give_up(self) -> None:
        if not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time())


class Breaker:
    """`ask` returns when the server has said anything; else it raises OSError or TimeoutError.

    One timer looks at all who wait: one for each of them would cost every statement more. Looks are
    counted and not seconds, since what arrives while our own loop stands still is not read.
    """

    def __init__(self, name: DatabaseName, ask: Ask, *, patience_seconds: float) -> None:
        self.is_open = False
        self._name = name
        self._ask = ask
        self._patience = patience_seconds
        self._waiting: dict[Waiting, int] = {}  # how many looks have found each of them waiting
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
            self._waiting[opening] = 0
            try:
                return await connect()
            finally:
                self._waiting.pop(opening, None)

    def _watch(self) -> None:
        """Look again and again, for as long as there are connections."""
        self._is_watching = True
        asyncio.get_running_loop().call_later(self._patience / LOOKS, self._look)

    def _look(self) -> None:
        for one in self._waiting:
            self._waiting[one] += 1
        if max(self._waiting.values(), default=0) > LOOKS:
            self._asking = asyncio.create_task(self._until_it_answers())
        elif self._waiting or self._connections:
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
        self._watch()

    async def _answers(self) -> bool:
        asked_at = time.monotonic()
        try:
            await self._ask(self._judge)
        except (OSError, TimeoutError):
            # It lets nobody in, and is not silent for that: it has answered somebody meanwhile.
            return any(one.heard_at > asked_at for one in self._connections)
        finally:
            for one in self._long_waiting():
                self._waiting[one] = 0
        return True

    def _long_waiting(self) -> list[Waiting]:
        """Return those too who will be overdue soon: what the server says of them is as true."""
        return [one for one, looks in self._waiting.items() if looks > LOOKS / 2]

    def _judge(self, idle: Idle) -> Sequence[Backend]:
        """Give up whoever waits for a backend that is gone, or has been idle for a while.

        A query that has not arrived by now, or an answer that has not, is not under way any more.
        """
        still_seconds = self._patience / 2
        waiting = [one for one in self._long_waiting() if isinstance(one, TenantConnection)]
        lost = [one for one in waiting if waits_in_vain(one, idle, still_seconds)]
        if lost:
            log.warning("connections_forgotten", database=self._name, waiting=len(lost))
        for one in lost:
            one.give_up()
        return [one.backend for one in lost if one.backend and one.backend in idle]

    def _open(self) -> None:
        if not self.is_open:
            log.error("database_silent", database=self._name, waiting=len(self._waiting))
        self.is_open = True
        for one in self._waiting:
            one.give_up()
        for connection in self._connections:  # those too that nobody holds: they may be dead
            connection.terminate()
