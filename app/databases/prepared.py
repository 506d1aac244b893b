"""A connection keeps the statements that SQLAlchemy has prepared on it, from session to session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncpg.prepared_stmt import PreparedStatement

from app.telemetry.requests import count_rows

if TYPE_CHECKING:
    from app.databases.connection import TenantConnection

KEPT = 100


class PreparedStatements:
    def __init__(self, connection: TenantConnection) -> None:
        self._connection = connection
        self._kept: dict[str, ObservedStatement] = {}

    async def get(self, query: str) -> ObservedStatement:
        """Prepare it once, unless PgBouncer may give out another server each time."""
        if found := self._kept.get(query):
            return found
        connection = self._connection
        name = "" if connection.behind_pgbouncer else None
        prepared = await connection.exchange(query, connection.prepare(query, name=name))
        statement = ObservedStatement(connection, prepared, query)
        if not connection.behind_pgbouncer:
            if len(self._kept) >= KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[query] = statement
        return statement


class ObservedStatement:
    """A prepared statement, as far as SQLAlchemy uses one."""

    def __init__(
        self, connection: TenantConnection, statement: PreparedStatement[Any], query: str
    ) -> None:
        self._connection = connection
        self._statement = statement
        self._query = query
        self.get_attributes = statement.get_attributes
        self.get_statusmsg = statement.get_statusmsg

    async def fetch(self, *args: Any) -> list[Any]:
        answer = self._statement.fetch(*args)
        rows = await self._connection.exchange(self._query, answer)
        count_rows(len(rows))
        return rows
