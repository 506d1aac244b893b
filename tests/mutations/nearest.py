"""The tests that are nearest to a fault: those that reach it through the fewest and rarest names.

What mentions a name is taken to call what is defined under it: functions, classes and constants of
Python, the databases' functions, and routes by the words of their paths. A way from a test to a
place is the better, the fewer other things have the names on it.
"""

from __future__ import annotations

import ast
import heapq
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

WORD = re.compile(r"[A-Za-z_]\w{2,}")
FILE = 0.1  # what the rest of a file is worth, beside the definition that has the fault
STEP = 0.6  # what each mention is worth of what it mentions
LEAST = 0.001  # a longer way tells nothing
MOST_NAMESAKES = 20  # a name of more things tells nothing
# They compare the functions' files with the migrated database, or read them as text.
NOT_BY = (
    "migrations/test_functions",
    "mutations/",
    "benchmarks/",
    "clients/",
    "faults/",
    "test_citus",
)
IS_SOAK = re.compile(r"(?m)^pytestmark = pytest\.mark\.(soak|slow)\b")
NO_NAMES: frozenset[str] = frozenset()
Defining = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Definition:
    path: str
    name: str
    first: int
    last: int
    mentions: frozenset[str]
    names: frozenset[str] = NO_NAMES  # under which others mention it

    @property
    def is_test(self) -> bool:
        return self.path.startswith("tests/") and self.name.startswith("test_")

    def __str__(self) -> str:
        return f"{self.path}::{self.name}"


def nearest(root: Path, path: str, line: int) -> list[Definition]:
    """Order the tests by their nearness."""
    whole = dict.fromkeys((one for one in definitions(root) if one.path == path), FILE)
    reached = _reached(root, whole | {place_of(root, path, line): 1.0})
    tests = {one: worth * _kinship(path, one.path) for one, worth in reached.items() if one.is_test}
    return sorted(tests, key=lambda one: -tests[one])


def place_of(root: Path, path: str, line: int) -> Definition:
    """Find the smallest definition that has the line; outside of all it is the whole file."""
    places = [
        one for one in definitions(root) if one.path == path and one.first <= line <= one.last
    ]
    whole = Definition(path, Path(path).stem, 1, line, NO_NAMES)
    return max(places, key=lambda one: one.first, default=whole)


def _reached(root: Path, start: dict[Definition, float]) -> dict[Definition, float]:
    """Find the best way from each definition to where it starts."""
    named, mentioning = _names(root)
    best, waiting = dict(start), [(-worth, number) for number, worth in enumerate(start.values())]
    known = list(start)
    while waiting:
        worth, number = heapq.heappop(waiting)
        for name in known[number].names:
            step = -worth * STEP / named[name]
            for caller in mentioning[name] if named[name] <= MOST_NAMESAKES else ():
                if step > best.get(caller, LEAST):
                    best[caller] = step
                    known.append(caller)
                    if not caller.is_test:
                        heapq.heappush(waiting, (-step, len(known) - 1))
    return best


def _kinship(path: str, test: str) -> float:
    """Count the words that the two paths share."""
    place = path.replace("databases/sql/general", "chat/bridge")
    place = place.replace("databases/sql/user", "accounts/bridge")
    parts = set(re.split(r"[/_.]", place)) - {"app", "py", "sql"}
    alike = {one for part in parts for one in (part, f"{part}s", part[:-1])}
    return (1.0 + len(set(re.split(r"[/_.]", test)) & alike)) ** 2


@cache
def _names(root: Path) -> tuple[dict[str, int], dict[str, list[Definition]]]:
    """Count what is defined under each name, and list what mentions it."""
    named: dict[str, int] = defaultdict(int)
    mentioning: dict[str, list[Definition]] = defaultdict(list)
    for one in definitions(root):
        for name in one.names:
            named[name] += 1
        for name in one.mentions - one.names:
            mentioning[name].append(one)
    return named, mentioning


@cache
def definitions(root: Path) -> list[Definition]:
    found: list[Definition] = []
    for path in sorted([*root.glob("app/**/*.py"), *root.glob("tests/**/*.py")]):
        name, text = str(path.relative_to(root)), re.sub(r"(?m)^ *# .*", "", path.read_text())
        if not any(one in name for one in NOT_BY) and not IS_SOAK.search(text):
            found += _of_python(name, text)
    for path in sorted(root.glob("app/databases/sql/*/*.sql")):
        text = re.sub("--.*", "", path.read_text())
        words = frozenset(WORD.findall(text))
        place = str(path.relative_to(root))
        found.append(Definition(place, path.stem, 1, 999, words, frozenset({path.stem})))
    return found


def _of_python(path: str, text: str) -> Iterator[Definition]:
    tree, lines = ast.parse(text), text.splitlines()
    names = frozenset(() if path.endswith("__init__.py") else (Path(path).stem,))
    rest = frozenset(WORD.findall("\n".join(lines)))
    for node in tree.body:
        match node:
            case ast.ClassDef(body=body):
                prefix = _routes(lines, node.lineno, body[0].lineno + 3)
                yield _definition(path, node, lines)
                for one in body:
                    if isinstance(one, Defining):
                        yield _definition(path, one, lines, prefix)
            case ast.FunctionDef() | ast.AsyncFunctionDef() if not _is_slow(node):
                yield _definition(path, node, lines)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                words = _words(lines, node.lineno, node.end_lineno or node.lineno)
                last = node.end_lineno or node.lineno
                yield Definition(path, name, node.lineno, last, words, frozenset({name}))
            case _:
                pass
    if not Path(path).name.startswith("test_"):
        yield Definition(path, Path(path).stem, 0, 0, rest, names)


def _is_slow(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    marks = [ast.unparse(one) for one in node.decorator_list]
    return any(mark.startswith(("pytest.mark.slow", "pytest.mark.soak")) for mark in marks)


def _definition(
    path: str, node: Defining, lines: list[str], prefix: frozenset[str] = NO_NAMES
) -> Definition:
    first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
    last = node.end_lineno or first
    routes = _routes(lines, first, node.lineno) if first < node.lineno else NO_NAMES
    names = routes | {node.name} | (prefix if first < node.lineno else NO_NAMES)
    return Definition(path, node.name, first, last, _words(lines, first, last), names)


def _routes(lines: list[str], first: int, last: int) -> frozenset[str]:
    """Give the words of the routes' paths, under which requests mention them."""
    paths = re.findall(r'"(/[\w/{}:.-]+)"', "\n".join(lines[first - 1 : last]))
    return frozenset(word for one in paths for word in re.findall(r"/[a-z-]{3,}", one))


def _words(lines: list[str], first: int, last: int) -> frozenset[str]:
    text = "\n".join(lines[first - 1 : last])
    return frozenset([*WORD.findall(text), *re.findall(r"/[a-z-]{3,}", text)])
