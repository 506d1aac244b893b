"""Structs made of rows: only of the columns they were written for."""

from __future__ import annotations

import asyncpg
import pytest
from msgspec import Struct

from app.databases.records import StructsOf
from tests.support.servers import Servers


class Pair(Struct):
    first: int
    second: str


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 'a' AS second, 1 AS first",
        "SELECT 1 AS first",
        "SELECT 1 AS first, 'a' AS second, 2 AS third",
    ],
    ids=["another order", "one missing", "one more"],
)
async def test_a_struct_refuses_other_columns(servers: Servers, query: str) -> None:
    with pytest.raises(TypeError, match="Pair has the fields"):
        StructsOf(Pair)(await _rows(servers, query))


async def test_each_row_becomes_a_struct(servers: Servers) -> None:
    """No row shows no columns: the check waits for the first."""
    pairs = StructsOf(Pair)
    assert pairs([]) == []
    query = "SELECT n AS first, 'a' || n AS second FROM generate_series(1, 2) AS n"
    assert pairs(await _rows(servers, query)) == [Pair(1, "a1"), Pair(2, "a2")]
    with pytest.raises(TypeError):
        StructsOf(Pair)(await _rows(servers, "SELECT 'a' AS second, 1 AS first"))


async def _rows(servers: Servers, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(servers.general.url("postgres"))
    try:
        return await connection.fetch(query)
    finally:
        await connection.close()
