"""SQLAlchemy's asyncpg dialect takes this for a connection of the driver's.

SQLAlchemy has no pool of its own here (NullPool): a session takes one of pool.py with its first
statement, and gives it back at its end.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from app.databases.connection import ObservedStatement, TenantConnection
from app.databases.pool import Pool


class SessionConnection:
    """The methods that the dialect calls; `tenant_id` is for the next transaction."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._taken: TenantConnection | None = None
        self.tenant_id: UUID | None = None

    async def taken(self) -> TenantConnection:
        if self._taken is None:
            self._taken = await self._pool.take()
        return self._taken

    def transaction(self, *, isolation: str | None = None, **_: object) -> Transaction:
        return Transaction(self, isolation)

    async def begin(self, isolation: str | None = None) -> None:
        """Before the first statement, unless it was done already."""
        connection = await self.taken()
        if not connection.is_in_transaction():
            await connection.begin(self.tenant_id, isolation=isolation)

    async def prepare(self, query: str, **_: object) -> ObservedStatement:
        return await (await self.taken()).prepared(query)

    async def executemany(self, query: str, rows: Any) -> None:
        await (await self.taken()).executemany(query, rows)

    async def set_type_codec(self, *_: object, **__: object) -> None:
        """Its codecs are set when a connection is opened; see opening.py."""

    def is_closed(self) -> bool:
        return self._taken is not None and self._taken.is_closed()

    async def close(self, **_: object) -> None:
        if self._taken is not None:
            self._pool.give_back(self._taken)
            self._taken = None

    def terminate(self) -> None:
        if self._taken is not None:
            self._taken.is_spoiled = True
            self._pool.give_back(self._taken)
            self._taken = None


class Transaction:
    """One transaction of the session, as the dialect starts and ends it."""

    def __init__(self, session: SessionConnection, isolation: str | None) -> None:
        self._session = session
        self._isolation = isolation

    async def start(self) -> None:
        await self._session.begin(self._isolation)

    async def commit(self) -> None:
        await (await self._session.taken()).send_commit()

    async def rollback(self) -> None:
        connection = await self._session.taken()
        if not connection.is_spoiled:  # else it ends with the connection
            await connection.send_rollback()
