"""SQLAlchemy's pool, keeping its overflow for as long as the load lasts, and no dead connections.

QueuePool closes a connection that comes back to a full queue. When more requests are under way
than it keeps, that is again and again the very connection that the next request opens anew: at
32 clients four fifths of all work was connecting.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import (
    AsyncAdaptedQueuePool,
    ConnectionPoolEntry,
    Pool,
    PoolProxiedConnection,
)
from sqlalchemy.pool.base import _ConnectionRecord  # pyright: ignore[reportPrivateUsage]  # see below

from app.databases.breaker import Breaker
from app.databases.connection import TenantConnection


class ElasticPool(AsyncAdaptedQueuePool):
    """Opens up to `pool_size`, and goes back to `kept` when that many have sufficed for a while."""

    kept: int
    calm_seconds = 5.0
    waiting = 0
    _last_rush = 0.0

    def connect(self) -> PoolProxiedConnection:
        self.waiting += 1
        try:
            return super().connect()
        finally:
            self.waiting -= 1

    def _do_get(self) -> ConnectionPoolEntry:
        if self.checkedout() >= self.kept:
            self._last_rush = time.monotonic()
        return super()._do_get()

    def _create_connection(self) -> ConnectionPoolEntry:
        """To be opened by whoever gets it. If that fails it comes back, and whoever waits is woken:
        QueuePool's own leaves them waiting for a connection that nobody is opening any more.
        """
        return _ConnectionRecord(self, connect=False)

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        is_calm = time.monotonic() - self._last_rush > self.calm_seconds
        if is_calm and self.checkedin() >= self.kept:
            try:
                record.close()
            finally:
                self._dec_overflow()
        else:
            super()._do_return_conn(record)


def elastic_pool(kept: int) -> type[ElasticPool]:
    """A class of its own, since the pool makes itself anew from its class alone."""
    return type("ElasticPool", (ElasticPool,), {"kept": kept})


def refuse_closed(adapted: Any, record: ConnectionPoolEntry, proxy: PoolProxiedConnection) -> None:
    """What pool_pre_ping promises, without its round trips.

    A server that stops or dies closes its sockets, and asyncpg has seen that by the time a
    later request takes the connection; the pool then opens a new one.
    """
    connection: TenantConnection = adapted.driver_connection
    connection.tenant_id = None
    if connection.is_closed():
        raise InvalidatePoolError


def watch(pool: Pool, breaker: Breaker) -> None:
    """Nobody gets a closed connection; the breaker knows who holds one, and since when."""

    def taken(adapted: Any, record: ConnectionPoolEntry, proxy: PoolProxiedConnection) -> None:
        breaker.taken(adapted.driver_connection)

    def given_back(adapted: Any, record: ConnectionPoolEntry, *_: object) -> None:
        if adapted is not None:  # it has been invalidated before
            breaker.given_back(adapted.driver_connection)

    event.listen(pool, "checkout", refuse_closed)
    event.listen(pool, "checkout", taken)
    event.listen(pool, "checkin", given_back)
    event.listen(pool, "invalidate", given_back)
