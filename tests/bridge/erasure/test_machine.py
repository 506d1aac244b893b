"""Hypothesis looks for a sequence after which something is left, lost or counted wrongly."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.erasure_machine import IMPATIENT, World
from tests.support.erasure_scene import Scene, open_scene
from tests.support.servers import Servers, run

DATABASE = "machine"


@pytest.fixture
def machine(servers: Servers, template: str) -> Iterator[type[World]]:
    """One pair of databases for all examples: each looks at its own people only."""
    with asyncio.Runner() as runner:
        for server in servers:
            clone = f"CREATE DATABASE {DATABASE} TEMPLATE {template}"
            runner.run(run(server, clone))
        stack = AsyncExitStack()
        way = open_scene(servers, DATABASE, db_lock_timeout_seconds=0.02, db_pool_size=30)
        World.scene, World.runner = runner.run(entered(stack, way)), runner
        runner.run(World.scene.general.execute(IMPATIENT))
        yield World
        runner.run(stack.aclose())
        for server in servers:
            runner.run(run(server, f"DROP DATABASE {DATABASE} WITH (FORCE)"))


async def entered(stack: AsyncExitStack, way: Any) -> Scene:
    scene: Scene = await stack.enter_async_context(way)
    return scene


def check(machine: type[World], *, examples: int, steps: int, **more: Any) -> None:
    how = settings(max_examples=examples, stateful_step_count=steps, deadline=None, **more)
    run_state_machine_as_test(machine, settings=how)  # pyright: ignore[reportUnknownMemberType]  # untyped


def test_erasures_hold_in_any_order_of_events(machine: type[World]) -> None:
    check(machine, examples=25, steps=25)


@pytest.mark.parametrize("step", ["close", "drain", "purge"])
def test_control_a_relay_without_a_step_is_found_out(machine: type[World], step: str) -> None:
    class Careless(machine):
        without = step

    once = {"phases": [Phase.generate], "derandomize": True, "database": None}
    with pytest.raises((AssertionError, BaseExceptionGroup)):
        check(Careless, examples=50, steps=25, **once)


@pytest.mark.soak
def test_erasures_hold_in_any_order_of_events_for_long(machine: type[World]) -> None:
    check(machine, examples=int(os.environ.get("SOAK_ROUNDS", "500")), steps=60)
