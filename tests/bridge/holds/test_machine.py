"""Hypothesis looks for a sequence in which a hold loses: to a deletion, an erasure or a relay."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from app.databases.database import Database
from app.databases.sessions import GeneralSession
from tests.support.erasure_machine import IMPATIENT
from tests.support.erasure_scene import open_scene
from tests.support.hold_machine import HoldWorld
from tests.support.servers import Servers, run

# Each takes seconds: run with `pytest -m slow` and by .ci/run slow.
pytestmark = pytest.mark.slow
DATABASE = "hold_machine"


@pytest.fixture
def machine(servers: Servers, template: str) -> Iterator[type[HoldWorld]]:
    """One pair of databases for all examples: each looks at its own people only."""
    with asyncio.Runner() as runner:
        for server in servers:
            runner.run(run(server, f"CREATE DATABASE {DATABASE} TEMPLATE {template}"))
        stack = AsyncExitStack()
        way = open_scene(servers, DATABASE, db_lock_timeout_seconds=0.02, db_pool_size=30)

        async def enter() -> None:
            HoldWorld.scene = await stack.enter_async_context(way)
            await HoldWorld.scene.general.execute(IMPATIENT)

        HoldWorld.runner = runner
        runner.run(enter())
        yield HoldWorld
        runner.run(stack.aclose())
        for server in servers:
            runner.run(run(server, f"DROP DATABASE {DATABASE} WITH (FORCE)"))


def check(machine: type[HoldWorld], *, examples: int, steps: int, **more: Any) -> None:
    slow = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    how = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=slow,
        **more,
    )
    run_state_machine_as_test(machine, settings=how)  # pyright: ignore[reportUnknownMemberType]  # untyped


def test_holds_win_in_any_order_of_events(machine: type[HoldWorld]) -> None:
    check(machine, examples=15, steps=25)


def test_control_a_relay_that_does_not_drain_is_found_out(machine: type[HoldWorld]) -> None:
    async def no_drain(_: Database[GeneralSession], __: UUID, ___: UUID) -> None:
        pass

    class Careless(machine):
        drain = staticmethod(no_drain)

    once = {"phases": [Phase.generate], "derandomize": True, "database": None}
    with pytest.raises((AssertionError, BaseExceptionGroup)):
        check(Careless, examples=200, steps=25, **once)


@pytest.mark.parametrize(
    "way",
    [
        ("general", "ALTER TABLE chat_sessions DISABLE TRIGGER keep_held"),
        ("user", "ALTER TABLE holds DROP CONSTRAINT fk_holds_user_id_users"),
        ("user", "ALTER TABLE holds DISABLE TRIGGER keep_hold_ledger"),
    ],
)
def test_control_a_missing_guard_is_found_out(
    machine: type[HoldWorld], way: tuple[str, str]
) -> None:
    connection = getattr(machine.scene, way[0])
    machine.runner.run(connection.execute(way[1]))
    once = {"phases": [Phase.generate], "derandomize": True, "database": None}
    with pytest.raises((AssertionError, BaseExceptionGroup)):
        check(machine, examples=200, steps=25, **once)


@pytest.mark.soak
def test_holds_win_in_any_order_of_events_for_long(machine: type[HoldWorld]) -> None:
    check(machine, examples=int(os.environ.get("SOAK_ROUNDS", "500")), steps=60)
