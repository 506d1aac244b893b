"""OpenAI's own clients, unmodified, keep their conversations in the running service."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.factories import World
from tests.support.generators import TOURS, needs, python

WARM = [f"Where is it warm? {number}" for number in range(30)]


@pytest.fixture
async def variables(address: str, world: World) -> dict[str, str]:
    """They are what a client is told: where the service is, and a person's token."""
    token = await world.log_in((await world.member()).username)
    return {"BASE": address, "TOKEN": token}


async def tour(script: str, folder: Path, variables: dict[str, str]) -> Any:
    copy = Path(shutil.copy(TOURS / script, folder))
    return json.loads((await python(copy, folder=folder, **variables)).out)


@needs("openai")
async def test_the_python_client(tmp_path: Path, variables: dict[str, str]) -> None:
    assert await tour("openai_conversations.py", tmp_path, variables) == {
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
    assert await tour("openai_agents.py", tmp_path, variables) == {
        "said": ["It is 4 °C in Oslo.", "It is 4 °C in Oslo."],
        "types": turn * 2,
        "thoughts": ["rs_1", "rs_3"],
        "second turn": [*turn, "message"],
        "popped": "It is 4 °C in Oslo.",
        "latest": ["function_call", "function_call_output"],
        "many": 54,
        "after": [],
    }
