"""Linters find nothing in our document, under the rules that they recommend."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from pydantic_core import SchemaValidator, core_schema

from tests.support.generators import CLIENTS, needs, needs_node, node


@needs_node
async def test_redocly_finds_nothing(folder: Path) -> None:
    words = ["--extends", "recommended", "--format", "json", "openapi.json"]
    said = await node("redocly", "lint", *words, folder=folder)
    assert [one for one in json.loads(said.out)["problems"] if not is_told_apart(one)] == []


def is_told_apart(problem: dict[str, Any]) -> bool:
    """No path is ambiguous for `by-external-id`: it is no UUID, which an id in its place is."""
    is_ambiguous = problem["ruleId"] == "no-ambiguous-paths"
    return is_ambiguous and "/by-external-id/{external_id}" in problem["message"]


@needs_node
async def test_spectral_finds_nothing(folder: Path) -> None:
    rules = CLIENTS / "spectral.yaml"
    words = ["--ruleset", rules, "--format", "json", "--quiet", "--fail-severity", "hint"]
    said = await node("spectral", "lint", *words, "openapi.json", folder=folder)
    assert json.loads(said.out) == []


@needs("re2")
def test_patterns_compile_in_other_languages(folder: Path) -> None:
    """RE2 is Go's, and pydantic compiles with Rust's."""
    re2 = import_module("re2")
    document = json.loads((folder / "openapi.json").read_bytes())
    found = set(patterns(document))
    assert len(found) > 5
    for pattern in found:
        re2.compile(pattern)
        SchemaValidator(core_schema.str_schema(pattern=pattern))


def patterns(node: Any) -> Iterator[str]:
    members: list[Any] = []
    if isinstance(node, dict):
        found = cast("dict[str, Any]", node)
        if isinstance(found.get("pattern"), str):
            yield found["pattern"]
        members = list(found.values())
    elif isinstance(node, list):
        members = cast("list[Any]", node)
    for member in members:
        yield from patterns(member)
