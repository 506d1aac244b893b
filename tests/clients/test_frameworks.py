"""Histories of frameworks that people already use, over the native API."""

from __future__ import annotations

from pathlib import Path

from tests.support.generators import needs, needs_node
from tests.support.tours import node_tour, python_tour


@needs("langchain_core")
async def test_a_langchain_history(tmp_path: Path, variables: dict[str, str]) -> None:
    assert await python_tour("langchain_history.py", tmp_path, variables) == {
        "same": True,
        "chained": [["human", "One"], ["ai", "Hello"], ["human", "Two"], ["ai", "Again"]],
        "cleared": ["Anew"],
    }


@needs_node
async def test_messages_of_the_ai_sdk(tmp_path: Path, variables: dict[str, str]) -> None:
    seen = await node_tour("ai_sdk.mjs", tmp_path, variables)
    assert len(seen["loaded"]) == 3
    assert seen["loaded"] == seen["sent"]
