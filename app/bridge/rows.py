"""Rows of the bridge's statements, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Result, TextClause

from app.databases.database import Database

T = TypeVar("T", bound=NamedTuple)


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


async def fetch_value(
    database: Database[Any], statement: TextClause, values: Mapping[str, Any] | None = None
) -> Any:
    """Run one statement, outside any tenant and committed by itself, and return its one value."""
    async with database.one_statement() as connection:
        return await connection.scalar(statement, values or {})
