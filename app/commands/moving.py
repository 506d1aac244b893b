"""Export and import begin alike: with both databases, and with people's keys to open or seal by."""

from __future__ import annotations

import gc
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import NamedTuple

from app.bridge.sealing.seals import Seals
from app.commands.running import lent
from app.config.settings import load_settings
from app.databases.database import Databases

ALLOCATIONS = 100_000  # until a collection looks for cycles among the newest objects


class Lent(NamedTuple):
    databases: Databases
    seals: Seals


@asynccontextmanager
async def lent_with_seals() -> AsyncGenerator[Lent]:
    """Lend both. Raises SettingsError where a master key that is in use is not there."""
    gc.freeze()  # collections need not look at what is there by now: a quarter of the time
    gc.set_threshold(ALLOCATIONS)  # nor often at rows, which have no cycles: another quarter
    settings = load_settings()
    async with lent(settings) as databases:
        seals = Seals(databases, settings)
        await seals.check()
        yield Lent(databases, seals)
