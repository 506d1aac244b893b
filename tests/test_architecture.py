"""Rules that no reader should have to keep in mind are read off the code itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import median

from app.databases.bases import GeneralBase, UserBase
from migrations.models import METADATA

ROOT = Path(__file__).parents[1]
LONGEST_FILE = 250
MEDIAN_FUNCTION = 10
LOOSE_MODULES = 4
FRAGMENT = re.compile(
    r"(?:Of|As|What|Whose|Who|Whether|By|For|So|Not|Also|Then|How|In|From|Until|Where|When)\b"
)
IGNORE = re.compile(r"# (?:type|pyright): ignore")
IGNORE_WITH_REASON = re.compile(r"# (?:type|pyright): ignore\[[\w, -]+\]  # \w")


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_one_file_commits() -> None:
    commits = {
        name(path): calls(path, "commit") for path in sources("app") if calls(path, "commit")
    }
    assert commits == {"app/databases/sessions.py": ["session.commit"]}


def calls(path: Path, method: str) -> list[str]:
    """A mere mention counts: a method that is handed on is called elsewhere."""
    nodes = (node for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute))
    return [ast.unparse(node) for node in nodes if node.attr == method]


def test_files_are_short() -> None:
    lengths = {
        name(path): len(path.read_text().splitlines())
        for path in sources("app", "migrations", "tests")
    }
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST_FILE} == {}


def test_functions_are_short() -> None:
    lengths = [lines for path in sources("app") for lines in function_lengths(path)]
    assert median(lengths) <= MEDIAN_FUNCTION


def function_lengths(path: Path) -> Iterator[int]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1


def test_a_silenced_type_error_gives_its_reason() -> None:
    silenced = {
        f"{name(path)}:{number}": line.strip()
        for path in sources("app", "migrations", "tests")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if IGNORE.search(line) and path != Path(__file__)
    }
    assert {at: line for at, line in silenced.items() if not IGNORE_WITH_REASON.search(line)} == {}


def test_a_docstring_does_not_begin_with_a_fragment() -> None:
    """Its first line is a sentence with a subject and a verb, or an imperative."""
    begun = {
        f"{name(path)}:{place}": text
        for path in sources("app", "migrations", "tests")
        for place, text in docstrings(path)
    }
    assert {at: text for at, text in begun.items() if FRAGMENT.match(text)} == {}


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield getattr(node, "lineno", 1), ast.get_docstring(node) or ""


def test_few_modules_lie_loose() -> None:
    assert len(list((ROOT / "app").glob("*.py"))) <= LOOSE_MODULES


def test_what_tests_share_is_in_tests_support() -> None:
    """A test module or a conftest imported by another runs, and fails, where nobody looks."""
    shared = {name(path): imported_tests(path) for path in sources("tests")}
    assert {path: names for path, names in shared.items() if names} == {}


def imported_tests(path: Path) -> set[str]:
    modules = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    return {one for one in modules if re.match(r"tests\.(?:.+\.)?(?:test_|conftest\b)", one)}


def test_a_revision_outlives_the_code() -> None:
    revisions = sources("migrations/user", "migrations/general")
    assert revisions
    imported = {name(path): imports(path) & {"app", "migrations", "tests"} for path in revisions}
    assert {path: names for path, names in imported.items() if names} == {}


def imports(path: Path) -> set[str]:
    """The top-level packages; `.` is a relative import."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0] if node.level == 0 else "app")
    return found


def test_each_table_is_in_one_database() -> None:
    user, general = METADATA["user"], METADATA["general"]
    in_both = user.tables.keys() & general.tables.keys()
    assert in_both == {"heartbeats"}, "each says how far itself is, and knows of nobody"
    for base in (UserBase, GeneralBase):
        mappers = list(base.registry.mappers)
        assert mappers, "a base of its own has a registry of its own"
        mapped = {str(mapper.local_table) for mapper in mappers}
        assert mapped == base.metadata.tables.keys() - in_both
