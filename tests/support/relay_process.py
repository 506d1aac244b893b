"""A relay in a process of its own, to be killed or frozen at a commit of the test's choice."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import NamedTuple

from app.bridge.erasure.relay import Relay
from app.bridge.holds.relay import HoldRelay
from app.bridge.hooks import Hook
from app.bridge.retention.sweeper import Sweeper
from app.config.settings import Settings
from app.databases.database import Databases

# A clean process that has imported all this once; each victim is a fork of it.
CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])
COMMITS = ("claim", "close", "drain", "batch", "purge", "receipt", "acknowledge")
SWEEP_COMMITS = ("policy", "batch", "receipt")
HOLD_COMMITS = ("set", "drain", "acknowledge")
DIED = 9


class Victim(NamedTuple):
    process: ForkServerProcess
    line: Connection

    @property
    def pid(self) -> int:
        assert self.process.pid
        return self.process.pid


@contextmanager
def victim(
    settings: Settings,
    commit: str,
    *,
    dies: bool = False,
    of_holds: bool = False,
    sweeps: bool = False,
) -> Generator[Victim]:
    """Does one erasure, all holds, or a sweep.

    At `commit` it dies, or says so and goes on when told to.
    """
    ours, theirs = CONTEXT.Pipe()
    args = (settings, commit, dies, of_holds, theirs)
    process = CONTEXT.Process(target=_sweep if sweeps else _live, args=args)
    process.start()
    theirs.close()
    try:
        yield Victim(process, ours)
    finally:
        process.kill()
        process.join()
        ours.close()


def _live(settings: Settings, commit: str, dies: bool, of_holds: bool, line: Connection) -> None:
    hook = _stops_at(commit, dies, line)

    async def once() -> None:
        databases = Databases.create(settings)
        relay = HoldRelay(databases, hook=hook) if of_holds else None
        await (relay or Relay(databases, settings, hook=hook)).run_once()

    asyncio.run(once())


def _sweep(settings: Settings, commit: str, dies: bool, _: bool, line: Connection) -> None:
    async def once() -> None:
        databases = Databases.create(settings)
        async for _ in Sweeper(databases, settings, hook=_stops_at(commit, dies, line)).sweep():
            pass

    asyncio.run(once())


def _stops_at(commit: str, dies: bool, line: Connection) -> Hook:
    async def hook(reached: str) -> None:
        if reached != commit:
            return
        if dies:
            os._exit(DIED)  # nothing is flushed, closed or rolled back
        line.send(reached)
        line.recv()  # blocks all of it, as a frozen process is

    return hook
