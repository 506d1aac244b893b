"""The whole: two replicas on two databases behind breakable lines, people at work, and breakage.

Replica `steady` runs throughout, so that its memory and sockets can be followed; `victim` is
stopped and killed.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

import psutil

from tests.support import sealing
from tests.support.commands import litestar
from tests.support.factories import PASSWORD
from tests.support.proxy import Proxy, proxied
from tests.support.servers import Servers, run
from tests.support.soak import reader
from tests.support.soak.book import Book, Person
from tests.support.soak.boss import Boss, log_in
from tests.support.soak.breakage import Breakage, sides
from tests.support.soak.caller import Caller, SurpriseError
from tests.support.soak.life import Life
from tests.support.soak.replicas import Held, Replica
from tests.support.soak.tally import CALM, Tally

TENANTS = ("north", "south", "east")
PEOPLE = 10  # at a time
ENDS_SECONDS = 300.0  # until what was broken last is mended, and everybody is through
SAMPLES = 300  # about so many over the whole run
ADMINISTRATOR = "\\platform\\admin"
SETTINGS = {"REQUEST_TIMEOUT_SECONDS": "10"}  # so that what runs into it does so within a short run


class Sample(NamedTuple):
    at: float
    rss_bytes: int
    descriptors: int
    life: int  # of the process: it starts anew after each stop


@dataclass
class Soak:
    servers: Servers
    database: str
    seed: str
    lines: dict[str, Proxy]
    replicas: list[Replica]
    tally: Tally = field(default_factory=Tally)
    book: Book = field(default_factory=Book)
    callers: set[Caller] = field(default_factory=set[Caller])
    samples: defaultdict[str, list[Sample]] = field(
        default_factory=lambda: defaultdict[str, list[Sample]](list)
    )
    stalls: defaultdict[str, int] = field(default_factory=lambda: defaultdict[str, int](int))
    _tokens: dict[str, str] = field(default_factory=dict[str, str])
    _slow_reader: str = ""

    def chance(self, name: str) -> Random:
        """One for each purpose, so that none draws from another's."""
        return Random(f"{self.seed}/{name}")  # noqa: S311  not for secrets

    def breakage(self) -> Breakage:
        two = sides(self.servers, self.lines)
        return Breakage(two, self.replicas, self.tally, self.chance("faults"), self.callers)

    @asynccontextmanager
    async def caller(self, chance: Random, token: str = "") -> AsyncGenerator[Caller]:
        caller = Caller([one.address for one in self.replicas], self.tally, chance)
        if token:
            caller.authorization = token
        self.callers.add(caller)
        try:
            yield caller
        finally:
            self.callers.discard(caller)
            await caller.close()

    async def prepare(self, env: dict[str, str]) -> None:
        """An administrator, tenants, somebody who administers each, and a long conversation."""
        who = ("create", "admin", "--email", "admin@platform.example.org", "--role", "admin")
        ended = await litestar("users", *who, "--password-stdin", env=env, stdin=f"{PASSWORD}\n")
        assert ended.code == 0, ended.err
        self.book.people.append(Person(ADMINISTRATOR))
        chance = self.chance("preparation")
        async with self.caller(chance) as root, self.caller(chance) as one:
            await log_in(root, ADMINISTRATOR)
            for tenant in TENANTS:
                await root.known("POST", "/v1/tenants", tenant, json={"name": tenant})
                person = await Boss(root, self.book, tenant).makes("tenant_admin")
                await log_in(one, person.username)
                self._tokens[tenant] = one.authorization
            await reader.prepare(Boss(root, self.book, TENANTS[0]), one)
            self._slow_reader = one.authorization

    async def phase(self, name: str, seconds: float, breakage: Breakage | None) -> None:
        """People at work for so long; then each is through with what they were at."""
        over = asyncio.Event()
        calm_seconds = min(max(seconds / 40, 2.0), 8.0)
        async with asyncio.timeout(seconds + ENDS_SECONDS), asyncio.TaskGroup() as group:
            for number in range(PEOPLE):
                group.create_task(self._generations(f"{name}/{number}", over))
            group.create_task(self._slow_readers(name, over))
            group.create_task(self._samples(over, seconds / SAMPLES))
            breaking = breakage and group.create_task(breakage.happens(over, calm_seconds))
            await asyncio.sleep(seconds)
            over.set()
            if breaking:
                await breaking

    async def _generations(self, name: str, over: asyncio.Event) -> None:
        """One person after the other."""
        number = 0
        while not over.is_set():
            number += 1
            chance = self.chance(f"{name}/{number}")
            tenant = chance.choice(TENANTS)
            async with self.caller(chance) as own, self.caller(chance, self._tokens[tenant]) as its:
                boss = Boss(its, self.book, tenant)
                try:
                    await Life(await boss.makes(), own, boss).live(over)
                except SurpriseError:
                    continue  # it is noted; this life ends here

    async def _slow_readers(self, name: str, over: asyncio.Event) -> None:
        chance = self.chance(f"{name}/readers")
        while not over.is_set():
            replica = chance.choice(self.replicas)
            self.stalls[await reader.stalls(replica, self._slow_reader, chance)] += 1
            await asyncio.sleep(chance.uniform(0.5, 3))

    async def _samples(self, over: asyncio.Event, every_seconds: float) -> None:
        while not over.is_set():
            for replica in self.replicas if self.tally.weather.fault == CALM else ():
                self._sample(replica)
            await asyncio.sleep(min(max(every_seconds, 0.5), 10.0))

    def _sample(self, replica: Replica) -> None:
        try:
            size = replica.size()
        except psutil.Error:
            return  # it has just been killed
        sample = Sample(self.tally.weather.now().at, *size, replica.starts)
        self.samples[replica.name].append(sample)

    async def without_clients(self) -> dict[str, Held]:
        """Everybody has gone."""
        return {one.name: await one.without_clients() for one in self.replicas}


@asynccontextmanager
async def soaked(
    servers: Servers, database: str, seed: str, folder: Path
) -> AsyncGenerator[tuple[Soak, dict[str, str]]]:
    """All set up and started, and the environment of the operators' commands."""
    for server in servers:  # they may forget the last commits in a crash; these databases may not
        await run(server, f"ALTER DATABASE {database} SET synchronous_commit = on")
    async with AsyncExitStack() as stack:
        lines = {
            name: await stack.enter_async_context(proxied(getattr(servers, name).port))
            for name in ("user", "general")
        }
        behind = _urls(database, lambda name: f"127.0.0.1:{lines[name].port}")
        direct = _urls(database, lambda name: f"127.0.0.1:{getattr(servers, name).port}")
        await upgrade(direct | _owners(servers, database))
        replicas = [
            Replica(name, behind | SETTINGS, folder / f"{name}.log")
            for name in ("steady", "victim")
        ]
        for replica in replicas:
            stack.callback(replica.end)
            await replica.start()
        yield Soak(servers, database, seed, lines, replicas), direct


async def upgrade(env: dict[str, str]) -> None:
    """Which login is the relay's, and may do what only relays do, is granted by each upgrade."""
    ended = await litestar("database", "upgrade", "--no-prompt", env=env)
    assert ended.code == 0, ended.err


def _owners(servers: Servers, database: str) -> dict[str, str]:
    return {
        "DATABASE_URL_USER_OWNER": servers.user.url(database, "bicameral_owner"),
        "DATABASE_URL_GENERAL_OWNER": servers.general.url(database, "bicameral_owner"),
    }


def _urls(database: str, place: Callable[[str], str]) -> dict[str, str]:
    urls = {
        f"DATABASE_URL_{name.upper()}{suffix}": f"postgresql://{login}@{place(name)}/{database}"
        for name in ("user", "general")
        for suffix, login in (("", "bicameral_app"), ("_RELAY", "bicameral_relay"))
    }
    return urls | sealing.ENVIRONMENT
