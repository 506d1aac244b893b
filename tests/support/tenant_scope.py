"""The names at one level of a statement: what they mean, and which are of one tenant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.databases import citus
from tests.support.models import TENANT, WITH_TENANT
from tests.support.sql_tree import Fields, kind_of, words

LOCAL = frozenset(citus.LOCAL)
TABLES = WITH_TENANT - LOCAL
ROWS = ("new", "old")  # of a trigger
VALUE = ""  # in place of an alias: a parameter, a variable, a constant


class Violation(NamedTuple):
    rule: str
    what: str


@dataclass
class Scope:
    variables: frozenset[str]
    outer: Scope | None = None
    pinned: dict[str, bool] = field(default_factory=dict[str, bool])  # by alias
    tables: dict[str, str] = field(default_factory=dict[str, str])  # by alias
    queries: dict[str, bool] = field(default_factory=dict[str, bool])  # of WITH: whether pinned
    bodies: dict[str, Any] = field(default_factory=dict[str, Any])  # of WITH
    edges: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    quals: list[Any] = field(default_factory=list[Any])

    def inner(self) -> Scope:
        return self._below(self)

    def outside(self) -> Scope:
        """Give the scope of a query in FROM that sees nothing of what stands beside it."""
        return self._below(self.outer)

    def _below(self, outer: Scope | None) -> Scope:
        below = Scope(self.variables, outer)
        below.queries.update(self.queries)
        below.bodies.update(self.bodies)
        return below

    def enter(self, alias: str, name: str, is_pinned: bool = False) -> None:
        self.pinned[alias] = self.queries.get(name, is_pinned)
        if name not in self.queries and name in TABLES | LOCAL:
            self.tables[alias] = name

    def loose(self) -> list[str]:
        """List the tables whose tenant is not named."""
        loose = {alias: table for alias, table in self.tables.items() if not self.pinned[alias]}
        return [table for table in loose.values() if table not in LOCAL]

    def is_one_tenant(self, targets: list[Fields]) -> bool:
        """Tell it of the result: by what is read, or by the value that is returned."""
        if self.pinned:
            return all(self.pinned.values())
        values = [one["ResTarget"] for one in targets]
        return any(one.get("name") == TENANT and self.is_value(one["val"]) for one in values)

    def join(self, condition: Any, optional: set[str] | None) -> None:
        """Note a condition of JOIN. That of an outer one says something of `optional` only."""
        edges = list(self._edges(condition))
        self.edges += [one for one in edges if optional is None or one[0] in optional]
        self.quals.append(condition)

    def pin(self, condition: Any) -> None:
        """Follow the equalities, until nothing more is known to be of one tenant."""
        edges = [*self.edges, *self._edges(condition)]
        for _ in self.pinned:
            for alias, other in edges:
                self.pinned[alias] |= other == VALUE or self.pinned[other]

    def is_value(self, expression: Fields) -> bool:
        side = self._side(expression)
        return side is not None and (side == VALUE or self.pinned[side])

    def _edges(self, condition: Any) -> Iterator[tuple[str, str]]:
        """Give pairs: the first is of one tenant if the second is."""
        for left, right in equalities(condition):
            sides = self._side(left), self._side(right)
            for one, other in (sides, sides[::-1]):
                if one and other is not None:
                    yield one, other

    def _side(self, expression: Fields) -> str | None:
        """Name the table whose tenant this is, or say that it is a value, or neither."""
        kind, fields = kind_of(expression)
        match kind:
            case "TypeCast":
                return self._side(fields["arg"])
            case "ParamRef":
                return VALUE
            case "A_Const":
                return None if fields.get("isnull") else VALUE
            case "ColumnRef":
                return self._column(words(fields["fields"]))
            case _:
                return None

    def _column(self, name: list[str]) -> str | None:
        match name:
            case [alias, column] if column == TENANT and alias in self.pinned:
                return alias
            case [alias, column] if column == TENANT:
                is_value = alias in ROWS or (self.outer is not None and self.outer.knows(alias))
                return VALUE if is_value else None
            case [column] if column == TENANT:
                here = list(self.pinned) if len(self.pinned) == 1 else list(self.tables)
                return here[0] if len(here) == 1 else None
            case [variable] if variable in self.variables:
                return VALUE
            case _:
                return None

    def knows(self, alias: str) -> bool:
        if alias in self.pinned:
            return self.pinned[alias]
        return self.outer is not None and self.outer.knows(alias)


def equalities(condition: Any) -> Iterator[tuple[Fields, Fields]]:
    """Give both sides of each equality that must hold, those of rows one by one."""
    if not condition:
        return
    kind, fields = kind_of(condition)
    if kind == "BoolExpr" and fields["boolop"] == "AND_EXPR":
        for one in fields["args"]:
            yield from equalities(one)
    elif kind == "A_Expr" and fields["kind"] == "AEXPR_OP" and words(fields["name"]) == ["="]:
        sides = fields["lexpr"], fields["rexpr"]
        rows = [side["RowExpr"]["args"] for side in sides if "RowExpr" in side]
        yield from zip(*rows, strict=True) if len(rows) == 2 else [sides]
