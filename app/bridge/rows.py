"""Rows of the bridge's statements, by name."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import Result, TextClause

from app.databases.database import Database

T = TypeVar("T", bound=NamedTuple)
FIRST = UUID(int=0)  # comes before every id


def rows_as(result: Result[Any], shape: type[T]) -> list[T]:
    """Make a `shape` of each row. A field without its column raises, once for the whole result."""
    return [shape._make(row) for row in result.columns(*shape._fields)]


async def fetch_as(
    shape: type[T],
    database: Database[Any],
    statement: TextClause,
    values: Mapping[str, Any] | None = None,
) -> list[T]:
    """Run one statement, outside any tenant and committed by itself, and return its rows."""
    async with database.one_statement() as connection:
        return rows_as(await connection.execute(statement, values or {}), shape)


async def pages_of(
    shape: type[T],
    database: Database[Any],
    statement: TextClause,
    values: Mapping[str, Any] | None = None,
    *,
    page: int,
) -> AsyncGenerator[list[T]]:
    """Yield the rows page by page, in the order of their first two fields: a tenant and a user.

    The statement takes :page, the rows of a page, and the last row's two as :tenant_id, :user_id.
    """
    given = {**(values or {}), "page": page}
    last = {"tenant_id": FIRST, "user_id": FIRST}
    while rows := await fetch_as(shape, database, statement, given | last):
        yield rows
        last = dict(zip(last, rows[-1], strict=False))


async def fetch_value(
    database: Database[Any], statement: TextClause, values: Mapping[str, Any] | None = None
) -> Any:
    """Run one statement, outside any tenant and committed by itself, and return its one value."""
    async with database.one_statement() as connection:
        return await connection.scalar(statement, values or {})
