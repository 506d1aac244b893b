"""OpenAI's own clients, unmodified, keep their conversations in the running service."""

from __future__ import annotations

from pathlib import Path

from tests.support.generators import needs, needs_node
from tests.support.tours import node_tour, python_tour

WARM = [f"Where is it warm? {number}" for number in range(30)]


@needs("openai")
async def test_the_python_client(tmp_path: Path, variables: dict[str, str]) -> None:
    assert await python_tour("openai_conversations.py", tmp_path, variables) == {
        "object": "conversation",
        "metadata": {"topic": "weather"},
        "added": 32,
        "types": ["message", "function_call", "function_call_output", "reasoning"],
        "texts": WARM,
        "newest": WARM[-1],
        "call": ["c1", "weather", '{"in":"Oslo"}', "completed"],
        "thought": ["gA=="],
        "left": 32,
        "deleted": True,
        "gone": [404, "application/problem+json"],
        "sent": 1,
        "async": ["message", "function_call"],
    }


@needs("openai", "agents")
async def test_a_session_of_the_agents_sdk(tmp_path: Path, variables: dict[str, str]) -> None:
    turn = ["message", "reasoning", "function_call", "function_call_output", "message"]
    assert await python_tour("openai_agents.py", tmp_path, variables) == {
        "said": ["It is 4 °C in Oslo.", "It is 4 °C in Oslo."],
        "types": turn * 2,
        "thoughts": ["rs_1", "rs_3"],
        "second turn": [*turn, "message"],
        "popped": "It is 4 °C in Oslo.",
        "latest": ["function_call", "function_call_output"],
        "many": 54,
        "after": [],
    }


@needs_node
async def test_the_client_for_node(tmp_path: Path, variables: dict[str, str]) -> None:
    assert await node_tour("openai_conversations.mjs", tmp_path, variables) == {
        "texts": [WARM[0], "function_call", *WARM[1:4]],
        "found": ["c1", "weather", '{"in":"Oslo"}', "completed"],
        "metadata": {"topic": "weather"},
        "left": 4,
        "deleted": True,
        "gone": 404,
    }
