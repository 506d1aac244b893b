"""Faults, one after the other: each for a while that is drawn, and mended before the next."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from app.commands.embedded.cluster import Server
from tests.support.outages import freeze, kill, start, thaw
from tests.support.proxy import Act, Proxy
from tests.support.servers import Servers, run
from tests.support.soak.caller import LEAVES, Caller
from tests.support.soak.replicas import Replica
from tests.support.soak.tally import CALM, Tally

LOSSES = (Act.CUT_BEFORE, Act.CUT_REPLY, Act.RESET_REPLY)
LOSES_WITHIN_SECONDS = 5.0  # a loss waits for its moment, which may not come
MANY_LEAVE = 0.4
TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'bicameral%'
"""


@dataclass
class Side:
    """One database: its server, and the line to it."""

    server: Server
    line: Proxy


@dataclass
class Breakage:
    sides: dict[str, Side]
    replicas: list[Replica]  # the last is the one that is stopped and killed
    tally: Tally
    chance: Random
    callers: set[Caller]
    recoveries: defaultdict[str, list[float]] = field(
        default_factory=lambda: defaultdict[str, list[float]](list)
    )
    exit_codes: list[int] = field(default_factory=list[int])

    async def happens(self, over: asyncio.Event, calm_seconds: float) -> None:
        """Each kind once before any comes again."""
        deck: list[tuple[str, Callable[[], Awaitable[None]]]] = []
        while not over.is_set():
            deck = deck or self.chance.sample(all_of_them := list(self._kinds()), len(all_of_them))
            name, act = deck.pop()
            await self._one(name, act)
            await self._while(over, calm_seconds * self.chance.uniform(0.7, 1.3))

    async def _one(self, name: str, act: Callable[[], Awaitable[None]]) -> None:
        self.tally.weather.becomes(name)
        await act()
        mended = time.monotonic()
        for replica in self.replicas:
            await replica.is_ready()
        self.recoveries[name].append(time.monotonic() - mended)
        self.tally.weather.becomes(CALM)

    async def _while(self, over: asyncio.Event, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await over.wait()
        except TimeoutError:
            pass

    def _kinds(self) -> Iterator[tuple[str, Callable[[], Awaitable[None]]]]:
        on_lines = (self.latency, self.slices, self.losses, self.black_hole)
        on_servers = (self.server_killed, self.server_frozen, self.connections_ended)
        for name, side in self.sides.items():
            for act in (*on_lines, *on_servers):
                yield f"{act.__name__}: {name}", _on(act, side)
        for alone in (self.service_killed, self.service_stopped, self.clients_leave):
            yield alone.__name__, alone
        yield "both_servers_killed", self.both_servers_killed
        yield "service_killed_with_server", self.service_killed_with_server

    async def _lasts(self, least: float, most: float) -> None:
        await asyncio.sleep(self.chance.uniform(least, most))

    async def latency(self, side: Side) -> None:
        side.line.latency_seconds = self.chance.uniform(0.002, 0.03)
        side.line.jitter_seconds = self.chance.uniform(0.0, 0.05)
        await self._lasts(2, 5)
        side.line.latency_seconds = side.line.jitter_seconds = 0.0

    async def slices(self, side: Side) -> None:
        side.line.slice_bytes = self.chance.randint(1, 40)
        await self._lasts(2, 4)
        side.line.slice_bytes = 0

    async def losses(self, side: Side) -> None:
        """At a COMMIT, or after some bytes, so anywhere; a few in a row."""
        for _ in range(self.chance.randint(3, 8)):
            words = self.chance.choice((b"COMMIT", b""))
            skip = 0 if words else self.chance.randrange(20_000)
            fault = side.line.breaks(self.chance.choice(LOSSES), words, skip=skip)
            await self._while(fault.happened, LOSES_WITHIN_SECONDS)
        side.line.heals()

    async def black_hole(self, side: Side) -> None:
        side.line.is_black_hole = True
        await self._lasts(2, 8)
        side.line.heals()

    async def server_killed(self, side: Side) -> None:
        await kill(side.server)
        await self._lasts(0, 3)
        await start(side.server)

    async def server_frozen(self, side: Side) -> None:
        await freeze(side.server)
        try:
            await self._lasts(1, 8)
        finally:
            await thaw(side.server)

    async def connections_ended(self, side: Side) -> None:
        """All at once, by their server; again before all are back."""
        for _ in range(3):
            await run(side.server, TERMINATE)
            await self._lasts(0, 0.5)

    async def service_killed(self) -> None:
        await self.replicas[-1].kill()
        await self._lasts(0, 2)
        await self.replicas[-1].start()

    async def service_stopped(self) -> None:
        self.exit_codes.append(await self.replicas[-1].stop())
        await self.replicas[-1].start()

    async def clients_leave(self) -> None:
        """Most of them, before their answers."""
        for caller in self.callers:
            caller.leaves = MANY_LEAVE
        await self._lasts(2, 5)
        for caller in self.callers:
            caller.leaves = LEAVES

    async def both_servers_killed(self) -> None:
        await asyncio.gather(*(self.server_killed(side) for side in self.sides.values()))

    async def service_killed_with_server(self) -> None:
        side = self.chance.choice(list(self.sides.values()))
        await asyncio.gather(self.service_killed(), self.server_killed(side))


def _on(act: Callable[[Side], Awaitable[None]], side: Side) -> Callable[[], Awaitable[None]]:
    return lambda: act(side)


def sides(servers: Servers, lines: dict[str, Proxy]) -> dict[str, Side]:
    return {name: Side(getattr(servers, name), line) for name, line in lines.items()}
