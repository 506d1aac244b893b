"""The small faults that can be put into a file: of Python by its syntax tree, of SQL by words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from app.config.settings import Settings

COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
# Of SQL: what stands there, and what a tired author might have written.
SQL = (
    (r" <= ", " < "),
    (r" < ", " <= "),
    (r" >= ", " > "),
    (r" > ", " >= "),
    (r" <> ", " = "),
    (r"(?m)^\s+AND [^\n(]+$", ""),
    (r" AND NOT ", " AND "),
    (r"\bnow\(\) - ", "now() + "),
    (r" DESC\b", ""),
    (r" FOR (NO KEY UPDATE|KEY SHARE|UPDATE|SHARE)\b", ""),
    (r" \+ 1\b", ""),
    (r"\bIF NOT FOUND\b", "IF FOUND"),
    (r"interval '1 (minute|hour)'", "interval '2 \\1s'"),
    (r"\bstate = 'open'", "state IS NOT NULL"),
)
Change = tuple[int, int, str]  # from where to where, and what stands there instead


@dataclass(frozen=True)
class Mutant:
    path: str
    line: int
    before: str
    after: str
    source: str  # of the whole file, with the fault in it

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.before!r} became {self.after!r}"


def mutants(root: Path, path: Path) -> Iterator[Mutant]:
    """Yield all of a file."""
    text = path.read_text()
    changes = of_sql(text) if path.suffix == ".sql" else of_python(text)
    for start, end, new in changes:
        source = text[:start] + new + text[end:]
        line = text.count("\n", 0, start) + 1
        yield Mutant(str(path.relative_to(root)), line, text[start:end], new, source)


def chosen(root: Path, files: list[Path], count: int, seed: int) -> list[Mutant]:
    """Choose files by chance, and a fault in each: a long file has no more than a short one."""
    random = Random(seed)  # noqa: S311  the same ones again is what is wanted
    found: dict[tuple[str, str], Mutant] = {}
    while len(found) < count:
        if some := list(mutants(root, random.choice(files))):
            one = random.choice(some)
            found[one.path, one.source] = one
    return list(found.values())


def of_sql(text: str) -> Iterator[Change]:
    body = text.index("AS $$")
    for pattern, new in SQL:
        for match in re.finditer(pattern, text):
            if match.start() > body:
                yield *match.span(), match.expand(new)


def of_python(text: str) -> Iterator[Change]:
    source = Source(text)
    for node in ast.walk(ast.parse(text)):
        yield from source.changes(node)


class Source:
    """A text whose places the syntax tree tells in lines and bytes."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._data = text.encode()
        self._lines = [0]
        for line in self._data.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))

    def changes(self, node: ast.AST) -> Iterator[Change]:
        match node:
            case ast.Compare(ops=[op], left=left, comparators=[right]) if type(op) in COMPARISONS:
                yield self._between(left, right, *COMPARISONS[type(op)])
            case ast.BoolOp(op=op, values=[left, right, *_]):
                words = ("and", "or") if isinstance(op, ast.And) else ("or", "and")
                yield self._between(left, right, *words)
            case ast.BinOp(op=ast.Add() | ast.Sub() as op, left=left, right=right):
                signs = ("+", "-") if isinstance(op, ast.Add) else ("-", "+")
                yield self._between(left, right, *signs)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                yield self._instead(node, self._text[slice(*self._span(operand))])
            case ast.Expr(value=ast.Await() | ast.Call()):
                yield self._instead(node, "pass")
            case ast.Constant() | ast.Attribute():
                yield from self._other_value(node)
            case _:
                pass

    def _other_value(self, node: ast.Constant | ast.Attribute) -> Iterator[Change]:
        """Turn a truth, change a number, or put a setting's default in its place."""
        match node:
            case ast.Constant(value=bool() as value):
                yield self._instead(node, repr(not value))
            case ast.Constant(value=int() | float() as value):
                yield self._instead(node, repr(value * 2 + 1))
            case ast.Attribute(value=ast.Name(id="settings") | ast.Attribute(attr="_settings")):
                field = Settings.model_fields.get(node.attr)
                if field and isinstance(field.default, int | float | str):
                    yield self._instead(node, repr(field.default))
            case _:
                pass

    def _between(self, left: ast.expr, right: ast.expr, old: str, new: str) -> Change:
        start, end = self._span(left)[1], self._span(right)[0]
        return start, end, self._text[start:end].replace(old, new)

    def _instead(self, node: ast.expr | ast.stmt, new: str) -> Change:
        return *self._span(node), new

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        end = self._place(node.end_lineno or node.lineno, node.end_col_offset or 0)
        return self._place(node.lineno, node.col_offset), end

    def _place(self, line: int, column: int) -> int:
        return len(self._data[: self._lines[line - 1] + column].decode())
