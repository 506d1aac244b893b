"""PostgreSQL's own parser on statements and on the bodies of functions.

A node is what libpg_query gives: a dictionary of one entry, its kind, and below it its fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import pgparse

Fields = dict[str, Any]
PARSER: Any = pgparse  # it has no types
STATEMENTS = ("SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt")
STATEMENT, EXPRESSION = 0, 2  # what PL/pgSQL calls an expression's parseMode; 3 and up: `x := …`
INPUT = ("FUNC_PARAM_DEFAULT", "FUNC_PARAM_IN", "FUNC_PARAM_INOUT")


@dataclass(frozen=True)
class Body:
    """A function of the database: its statements, and the names that stand for values in them."""

    name: str
    variables: frozenset[str]
    statements: tuple[str, ...]
    dynamic: tuple[str, ...] = field(default=())  # what EXECUTE is given


@cache
def parsed(sql: str) -> list[tuple[str, Fields]]:
    """Give each statement's kind and fields."""
    return [kind_of(one["stmt"]) for one in PARSER.parse(sql)]


def kind_of(node: Fields) -> tuple[str, Fields]:
    [(kind, fields)] = node.items()
    return kind, fields


def found(node: Any, *kinds: str, into: tuple[str, ...] = ()) -> Iterator[tuple[str, Fields]]:
    """Give the nodes of these kinds, outermost first; those below one only if it is in `into`."""
    if isinstance(node, list):
        for one in cast("list[Any]", node):
            yield from found(one, *kinds, into=into)
    elif isinstance(node, dict):
        for name, value in cast("Fields", node).items():
            if name in kinds:
                yield name, value
            if name not in kinds or name in into:
                yield from found(value, *kinds, into=into)


def words(node: Any) -> list[str]:
    """Give the parts of a name."""
    return [part["String"]["sval"] for part in node if "String" in part]


def function(file: str) -> Body:
    """Read the one CREATE FUNCTION of a file."""
    [(kind, create)] = parsed(file)
    assert kind == "CreateFunctionStmt", kind
    name = words(create["funcname"])[-1]
    options = {one["DefElem"]["defname"]: one["DefElem"].get("arg") for one in create["options"]}
    parameters = [one["FunctionParameter"] for one in create.get("parameters", [])]
    given = frozenset(one["name"] for one in parameters if one["mode"] in INPUT)
    if options["language"]["String"]["sval"] == "plpgsql":
        return _procedure(name, given, file)
    return Body(name, given, (options["as"]["List"]["items"][0]["String"]["sval"],))


def _procedure(name: str, given: frozenset[str], file: str) -> Body:
    [tree] = PARSER.parse_pgsql(file)
    variables = {one["refname"] for _, one in found(tree, "PLpgSQL_var")}
    dynamic = [_query(one) for _, one in found(tree, "PLpgSQL_stmt_dynexecute")]
    statements = [_statement(one) for _, one in found(tree, "PLpgSQL_expr")]
    return Body(name, given | variables, tuple(statements), tuple(dynamic))


def _query(execute: Fields) -> str:
    return execute["query"]["PLpgSQL_expr"]["query"]


def _statement(expression: Fields) -> str:
    query: str = expression["query"]
    if expression["parseMode"] == STATEMENT:
        return query
    if expression["parseMode"] == EXPRESSION:
        return f"SELECT {query}"
    return f"SELECT {re.split(':=|=', query, maxsplit=1)[1]}"
