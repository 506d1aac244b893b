"""A test that hangs fails in time, whatever it hangs in, and the event loop goes on."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.support.patience import TestHungError, limited

SECONDS = 0.2
ENOUGH_SECONDS = 10


async def swallowing() -> None:
    """Hang in a task that lets no ordinary error out."""
    while True:
        with suppress(Exception):
            await asyncio.sleep(60)


def spinning() -> None:
    while True:
        pass


HANGING: dict[str, Callable[[], object]] = {
    "a coroutine": lambda: asyncio.run(asyncio.sleep(60)),
    "a task that swallows errors": lambda: asyncio.run(swallowing()),
    "a loop": spinning,
    "a sleep": lambda: time.sleep(60),
    "a child process": lambda: subprocess.run(["sleep", "60"], check=True),
}


@pytest.mark.parametrize("how", HANGING)
def test_whatever_hangs_is_ended(how: str) -> None:
    began = time.monotonic()
    with pytest.raises(TestHungError), limited(SECONDS):
        HANGING[how]()
    assert time.monotonic() - began < ENOUGH_SECONDS


def test_the_event_loop_of_a_test_that_hung_serves_the_next() -> None:
    with asyncio.Runner() as runner:
        with pytest.raises(TestHungError), limited(SECONDS):
            runner.run(asyncio.sleep(60))
        assert runner.run(asyncio.sleep(0, "next")) == "next"


def test_what_ends_in_time_is_left_alone() -> None:
    with limited(SECONDS):
        pass
    time.sleep(2 * SECONDS)
