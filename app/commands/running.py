"""Runs what a command does: whatever fails is one plain line and a non-zero exit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from msgspec import ValidationError

from app.config.settings import Settings, SettingsError, stop
from app.databases.database import Databases
from app.http.errors import Invalid, Problem
from app.http.problems import to_problem

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T], *, failed: int = 1) -> T:
    """Run a coroutine to its end and return what it returns, or exit with the code `failed`."""
    try:
        return asyncio.run(work)
    except (SettingsError, ValidationError) as error:
        raise stop(str(error), failed) from None
    except Exception as error:
        raise stop(_line(to_problem(error)), failed) from error


@asynccontextmanager
async def lent(settings: Settings) -> AsyncGenerator[Databases]:
    """Lend both databases to a command; what it connected to is closed at the end."""
    databases = Databases.create(settings)
    try:
        yield databases
    finally:
        await databases.dispose()


def _line(problem: Problem) -> str:
    return problem.one_line if isinstance(problem, Invalid) else str(problem)
