"""Rows become structs by position, once their columns were seen to be the struct's fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from asyncpg import Record
from msgspec import Struct
from sqlalchemy import Row

S = TypeVar("S", bound=Struct)


class StructsOf(Generic[S]):
    """Makes a struct of each row of one statement.

    By position is three times as fast as by name. So the names are compared at the first row that
    comes, and a struct whose fields are not the columns, in their order, is refused.
    """

    def __init__(self, shape: type[S]) -> None:
        self._shape = shape
        self._is_checked = False

    def __call__(self, rows: Sequence[Record | Row[Any]]) -> list[S]:
        if rows and not self._is_checked:
            self._check(rows[0])
        shape = self._shape
        return [shape(*row) for row in rows]

    def _check(self, row: Record | Row[Any]) -> None:
        columns = tuple(row.keys()) if isinstance(row, Record) else row._fields  # pyright: ignore[reportPrivateUsage]  # public, like a named tuple's
        fields = self._shape.__struct_fields__
        if columns != fields:
            raise TypeError(f"{self._shape.__name__} has the fields {fields}, not {columns}")
        self._is_checked = True
