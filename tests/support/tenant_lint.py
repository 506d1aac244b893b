"""The rules that a statement keeps so that it would run on one shard of a distributed database.

It names its tenant on each table: by an equality with a value, or with the tenant of a table that
does. The other rules are about forms that a sharded database (Citus) refuses or runs wrongly.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.config.paths import ROOT
from tests.support.sql_tree import STATEMENTS, Body, Fields, found, kind_of, parsed, words
from tests.support.tenant_scope import TABLES, TENANT, Scope, Violation

CLOCKS = {"now", "clock_timestamp", "statement_timestamp", "transaction_timestamp"}
SET_TENANT = "format('SET LOCAL app.tenant_id = %L', tenant)"
# Only the coordinator has them; a statement that is handed on to a shard may not call them.
FUNCTIONS = {path.stem for path in (ROOT / "app" / "databases" / "sql" / "general").glob("*.sql")}
WRITES = ("InsertStmt", "UpdateStmt", "DeleteStmt")
BESIDE_EXPRESSIONS = {"withClause", "fromClause", "usingClause", "relation", "selectStmt"}


def of_function(body: Body) -> list[Violation]:
    """List what is wrong with a function of the database."""
    problems = [one for sql in body.statements for one in of_statement(sql, body.variables)]
    return problems + [Violation("dynamic", sql) for sql in body.dynamic if sql != SET_TENANT]


def of_statement(sql: str, variables: frozenset[str] = frozenset()) -> list[Violation]:
    """List what is wrong with a statement. `variables` are names that stand for values in it."""
    lint = Lint()
    for kind, fields in parsed(sql):
        lint.calls({kind: fields})
        if kind == "CopyStmt" and fields.get("relation", {}).get("relname") in TABLES:
            lint.report("tenant", fields["relation"]["relname"])
        for inner_kind, inner in found({kind: fields}, *STATEMENTS):
            lint.statement(inner_kind, inner, Scope(variables))
    return lint.found


class Lint:
    """One walk through a statement. Methods return whether all that they saw is of one tenant."""

    def __init__(self) -> None:
        self.found: list[Violation] = []

    def report(self, rule: str, what: str) -> None:
        self.found.append(Violation(rule, what))

    def calls(self, tree: Fields) -> None:
        for _, call in found(tree, "FuncCall", into=("FuncCall",)):
            if words(call["funcname"])[-1] == "set_config":
                self.report("set_config", "set_config()")
        read = [one for _, one in found(tree, "RangeVar")]
        written = [one["relation"] for _, one in found(tree, *WRITES)]
        is_of_tables = any(one["relname"] in TABLES for one in (*read, *written))
        for _, call in found(tree, "FuncCall", into=("FuncCall",)):
            if is_of_tables and words(call["funcname"])[-1] in FUNCTIONS:
                self.report("function", words(call["funcname"])[-1])
        for _, case in found(tree, "CaseExpr", into=("CaseExpr",)):
            if is_of_tables and "arg" in case:
                self.report("case", "CASE value WHEN")

    def statement(self, kind: str, fields: Fields, outer: Scope) -> bool:
        scope = outer.inner()
        self.queries(fields.get("withClause", {}), scope)
        match kind:
            case "SelectStmt":
                return self.select(fields, scope)
            case "InsertStmt":
                return self.insert(fields, scope)
            case "UpdateStmt" | "DeleteStmt":
                more = fields.get("fromClause", []) + fields.get("usingClause", [])
                return self.level(fields, [{"RangeVar": fields["relation"]}, *more], scope)
            case _:
                self.report("form", kind)
                return False

    def queries(self, clause: Fields, scope: Scope) -> None:
        """Look into WITH. A recursive query may rely on its own rows if all of its arms hold."""
        for query in (one["CommonTableExpr"] for one in clause.get("ctes", [])):
            name = query["ctename"]
            scope.queries[name] = is_recursive = clause.get("recursive", False)
            scope.bodies[name] = query["ctequery"]
            before = len(self.found)
            scope.queries[name] = self.statement(*kind_of(query["ctequery"]), scope)
            if is_recursive and self.found[before:]:
                self.report("recursive", name)

    def select(self, fields: Fields, scope: Scope) -> bool:
        if fields["op"] == "SETOP_NONE":
            return self.level(fields, fields.get("fromClause", []), scope)
        arms = [self.statement("SelectStmt", fields[arm], scope) for arm in ("larg", "rarg")]
        return all(arms)

    def level(self, fields: Fields, sources: list[Fields], scope: Scope) -> bool:
        lateral = list(self.sources(sources, scope))
        scope.pin(fields.get("whereClause"))
        before = len(self.found)
        for alias, query in lateral:
            scope.pinned[alias] = self.statement("SelectStmt", query, scope)
        scope.pin(fields.get("whereClause"))
        self.loose_tables(fields, scope)
        if lateral and self.found[before:]:
            self.report("lateral", ", ".join(alias for alias, _ in lateral))
        self.expressions(fields, scope)
        self.subqueries(scope.quals, scope)
        return scope.is_one_tenant(fields.get("targetList", []))

    def sources(self, sources: list[Fields], scope: Scope) -> Iterator[tuple[str, Fields]]:
        """Enter what is read at this level. Gives back the queries that may look at the others."""
        for source in sources:
            kind, fields = kind_of(source)
            alias = fields.get("alias", {}).get("aliasname", fields.get("relname", ""))
            if kind == "JoinExpr":
                yield from self.join(fields, scope)
            elif kind == "RangeVar":
                scope.enter(alias, fields["relname"])
            elif kind == "RangeSubselect" and not fields.get("lateral"):
                query = fields["subquery"]["SelectStmt"]
                scope.pinned[alias] = self.statement("SelectStmt", query, scope.outside())
            else:
                scope.pinned[alias] = False
                if kind == "RangeSubselect":
                    yield alias, fields["subquery"]["SelectStmt"]

    def join(self, fields: Fields, scope: Scope) -> Iterator[tuple[str, Fields]]:
        yield from self.sources([fields["larg"]], scope)
        before = set(scope.pinned)
        yield from self.sources([fields["rarg"]], scope)
        optional = {"JOIN_INNER": None, "JOIN_LEFT": set(scope.pinned) - before}
        scope.join(fields.get("quals"), optional.get(fields["jointype"], set()))

    def loose_tables(self, fields: Fields, scope: Scope) -> None:
        for table in scope.loose():
            self.report("tenant", table)
            if fields.get("lockingClause"):
                self.report("lock", table)

    def expressions(self, fields: Fields, scope: Scope) -> None:
        parts = {name: value for name, value in fields.items() if name not in BESIDE_EXPRESSIONS}
        self.subqueries(parts, scope)

    def subqueries(self, tree: Any, scope: Scope) -> None:
        for _, link in found(tree, "SubLink"):
            kind, query = kind_of(link["subselect"])
            self.statement(kind, query, scope)
            sources = query.get("fromClause", [])
            read = {one["RangeVar"]["relname"] for one in sources if "RangeVar" in one}
            if not {"targetList", "whereClause"} & query.keys() and read & TABLES:
                self.report("empty", "EXISTS (SELECT FROM everything)")
            self.subqueries(link.get("testexpr"), scope)

    def insert(self, fields: Fields, scope: Scope) -> bool:
        table = fields["relation"]["relname"]
        columns = [one["ResTarget"]["name"] for one in fields.get("cols", [])]
        source = fields.get("selectStmt", {}).get("SelectStmt", {})
        is_pinned = True
        if table in TABLES:
            is_pinned = self.inserted(source, columns, scope)
            if not is_pinned:
                self.report("tenant", table)
        elif source:
            self.statement("SelectStmt", source, scope)
        scope.enter(fields["relation"].get("alias", {}).get("aliasname", table), table, is_pinned)
        self.conflict(fields.get("onConflictClause", {}))
        self.expressions(fields, scope)
        return is_pinned

    def inserted(self, source: Fields, columns: list[str], scope: Scope) -> bool:
        """Tell by the value that goes into the column with the tenant."""
        if TENANT not in columns:
            return False
        place = columns.index(TENANT)
        if "valuesLists" in source:
            self.subqueries(source, scope)
            rows = [one["List"]["items"] for one in source["valuesLists"]]
            return all(scope.is_value(row[place]) for row in rows)
        return self.inserted_from(source, place, scope)

    def inserted_from(self, source: Fields, place: int, scope: Scope) -> bool:
        inner = scope.inner()
        self.queries(source.get("withClause", {}), inner)
        self.level(source, source.get("fromClause", []), inner)
        if not tables_beneath(source.get("fromClause"), inner):
            self.report("insert", "INSERT … SELECT from what is no table")
        targets = source.get("targetList", [])
        return bool(targets) and inner.is_value(targets[place]["ResTarget"]["val"])

    def conflict(self, clause: Fields) -> None:
        called = {
            words(call["funcname"])[-1] for _, call in found(clause, "FuncCall", into=("FuncCall",))
        }
        if called & CLOCKS or list(found(clause, "SQLValueFunction")):
            self.report("conflict", "the clock in DO UPDATE")


def tables_beneath(tree: Any, scope: Scope) -> set[str]:
    """Name the tables that FROM reads, those in queries of WITH too."""
    names = {fields["relname"] for _, fields in found(tree, "RangeVar")}
    bodies = [scope.bodies[name] for name in names if name in scope.bodies]
    beneath = {fields["relname"] for _, fields in found(bodies, "RangeVar")}
    return (names | beneath) & TABLES
