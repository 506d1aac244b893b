"""SQLAlchemy's asyncpg dialect takes this for a connection of the driver's.

SQLAlchemy has no pool of its own here (NullPool): a session takes one of pool.py with its first
statement, and gives it back at its end.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from app.databases.causes import may_ask_again
from app.databases.connection import TenantConnection
from app.databases.pool import Pool
from app.databases.prepared import ObservedStatement


class SessionConnection:
    """The methods that the dialect calls; `tenant_id` is for the next transaction."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._taken: TenantConnection | None = None
        self._has_begun = False
        self.tenant_id: UUID | None = None

    async def taken(self, *, fresh: bool = False) -> TenantConnection:
        if self._taken is None:
            self._taken = await self._pool.take(self.tenant_id, fresh=fresh)
        return self._taken

    def transaction(self, *, isolation: str | None = None, **_: object) -> Transaction:
        return Transaction(self, isolation)

    async def begin(self, isolation: str | None = None) -> None:
        """Before the first statement, unless it was done already.

        A connection that is lost by now has done nothing yet, so another one takes its place.
        """
        if self._has_begun:
            return
        try:
            await (await self.taken()).begin(self.tenant_id, isolation=isolation)
        except Exception as error:
            if not may_ask_again(error):
                raise
            self._give_back()
            await (await self.taken(fresh=True)).begin(self.tenant_id, isolation=isolation)
        self._has_begun = True

    async def end(self, *, commits: bool) -> None:
        connection = await self.taken()
        self._has_begun = False
        if commits:
            await connection.send_commit()
        elif not connection.is_spoiled:  # else the transaction ends with the connection
            await connection.send_rollback()

    async def prepare(self, query: str, **_: object) -> ObservedStatement:
        return await (await self.taken()).prepared.get(query)

    async def executemany(self, query: str, rows: Any) -> None:
        await (await self.taken()).executemany(query, rows)

    async def set_type_codec(self, *_: object, **__: object) -> None:
        """Its codecs are set when a connection is opened; see opening.py."""

    async def reload_schema_state(self) -> None:
        """The dialect asks for it after an error of the server's own, of all its connections.

        What is stale is pool.py's to renew: those beneath have codecs that reloading would drop.
        """

    def is_closed(self) -> bool:
        return self._taken is not None and self._taken.is_closed()

    async def close(self, **_: object) -> None:
        self._give_back()

    def terminate(self) -> None:
        if self._taken is not None:
            self._taken.is_spoiled = True
        self._give_back()

    def _give_back(self) -> None:
        if self._taken is not None:
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
        await self._session.end(commits=True)

    async def rollback(self) -> None:
        await self._session.end(commits=False)
