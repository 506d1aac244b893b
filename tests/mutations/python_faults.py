"""Makes the faults of tired authors in Python, by the syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from itertools import pairwise

from app.config.settings import Settings
from tests.mutations.sql_faults import Change

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
NO_CONTEXT = '__import__("contextlib").nullcontext()'
# Words of the document, and what a class has for whoever reads its code.
WORDS = {
    *("description", "title", "examples", "help", "summary", "doc"),
    *("frozen", "slots", "repr", "compare", "kw_only", "eq"),
}


def of_python(text: str) -> Iterator[Change]:
    source = Source(text)
    for node in _walked(ast.parse(text)):
        yield from source.changes(node)


def _walked(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what runs: neither annotations nor what only type checkers read."""
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return
        case ast.AnnAssign(value=value):
            children: Iterable[ast.AST | None] = (value,)
        case ast.arg():
            return
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            children = (*node.decorator_list, node.args, *node.body)
        case ast.keyword(arg=arg) if arg in WORDS:
            return
        case _:
            children = ast.iter_child_nodes(node)
    yield node
    for child in children:
        if child is not None:
            yield from _walked(child)


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
            case ast.stmt():
                yield from self._of_statement(node)
                yield from self._of_block(node)
            case ast.Call():
                yield from self._of_call(node)
            case ast.ExceptHandler(body=body) if not isinstance(body[0], ast.Pass):
                yield self._block(body, "swallowed")
            case ast.Constant() | ast.Attribute():
                yield from self._other_value(node)
            case _:
                yield from self._of_operator(node)

    def _of_operator(self, node: ast.AST) -> Iterator[Change]:
        match node:
            case ast.Compare(ops=[op], left=left, comparators=[right]) if type(op) in COMPARISONS:
                yield self._between(left, right, *COMPARISONS[type(op)], "comparison")
            case ast.BoolOp(op=op, values=[left, right, *_]):
                words = ("and", "or") if isinstance(op, ast.And) else ("or", "and")
                yield self._between(left, right, *words, "logic")
            case ast.BinOp(op=ast.Add() | ast.Sub() as op, left=left, right=right):
                signs = ("+", "-") if isinstance(op, ast.Add) else ("-", "+")
                yield self._between(left, right, *signs, "arithmetic")
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                yield self._instead(node, self._words(operand), "logic")
            case ast.IfExp(test=test):
                yield self._instead(test, "True", "condition")
            case _:
                pass

    def _of_statement(self, node: ast.stmt) -> Iterator[Change]:
        match node:
            case ast.Expr(value=ast.Await() | ast.Call()):
                yield self._instead(node, "pass", "statement")
            case ast.Raise():
                yield self._instead(node, "pass", "guard")
            case ast.If(test=test):
                yield self._instead(test, "False", "condition")
            case ast.Return(value=ast.expr() as value) if not _is_plain(value):
                yield self._instead(value, "None", "result")
            case _:
                pass

    def _of_block(self, node: ast.stmt) -> Iterator[Change]:
        match node:
            case ast.Try(finalbody=[_, *_] as body):
                yield self._block(body, "cleanup")
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    if item.optional_vars is None:
                        yield self._instead(item.context_expr, NO_CONTEXT, "cleanup")
            case _:
                pass

    def _of_call(self, node: ast.Call) -> Iterator[Change]:
        """Swap the first two arguments, or the values of two named ones; leave a named one out."""
        given = [one for one in node.args if not isinstance(one, ast.Starred)]
        named = [one for one in node.keywords if one.arg and one.arg not in WORDS]
        values = [*given[:2]], [one.value for one in named]
        for first, second in (pair for some in values for pair in pairwise(some)):
            if _are_alike(first, second) and self._words(first) != self._words(second):
                yield self._swapped(first, second)
        for one in named:
            yield self._left_out(one)

    def _left_out(self, node: ast.keyword) -> Change:
        start, end = self._span(node)
        while self._text[end] in ", \n" and self._text[end - 1] != ",":
            end += 1
        return start, end, "", "argument"

    def _swapped(self, first: ast.expr, second: ast.expr) -> Change:
        start, end = self._span(first)[0], self._span(second)[1]
        between = self._text[self._span(first)[1] : self._span(second)[0]]
        return start, end, self._words(second) + between + self._words(first), "swapped"

    def _other_value(self, node: ast.Constant | ast.Attribute) -> Iterator[Change]:
        """Turn a truth, change a number, or put a setting's default in its place."""
        match node:
            case ast.Constant(value=bool() as value):
                yield self._instead(node, repr(not value), "value")
            case ast.Constant(value=int() | float() as value):
                yield self._instead(node, repr(value * 2 + 1), "value")
            case ast.Attribute(value=ast.Name(id="settings") | ast.Attribute(attr="_settings")):
                field = Settings.model_fields.get(node.attr)
                if field and isinstance(field.default, int | float | str):
                    yield self._instead(node, repr(field.default), "setting")
            case _:
                pass

    def _between(self, left: ast.expr, right: ast.expr, old: str, new: str, kind: str) -> Change:
        start, end = self._span(left)[1], self._span(right)[0]
        return start, end, self._text[start:end].replace(old, new), kind

    def _block(self, body: list[ast.stmt], kind: str) -> Change:
        return self._span(body[0])[0], self._span(body[-1])[1], "pass", kind

    def _instead(self, node: ast.expr | ast.stmt, new: str, kind: str) -> Change:
        return *self._span(node), new, kind

    def _words(self, node: ast.expr) -> str:
        return self._text[slice(*self._span(node))]

    def _span(self, node: ast.expr | ast.stmt | ast.keyword) -> tuple[int, int]:
        end = self._place(node.end_lineno or node.lineno, node.end_col_offset or 0)
        return self._place(node.lineno, node.col_offset), end

    def _place(self, line: int, column: int) -> int:
        return len(self._data[: self._lines[line - 1] + column].decode())


def _are_alike(first: ast.expr, second: ast.expr) -> bool:
    """Whoever swaps a name and a number hears it from the type checker."""
    names = ast.Name | ast.Attribute
    if isinstance(first, names) and isinstance(second, names):
        return True
    return (
        isinstance(first, ast.Constant)
        and isinstance(second, ast.Constant)
        and type(first.value) is type(second.value)
    )


def _is_plain(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant | ast.Name)
