"""A backend's API key on behalf of many people, beside those people's own tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from uuid_utils.compat import uuid7

from app.accounts.keys import new_key
from app.accounts.tokens import token_digest
from tests.benchmarks.contestants import OUR_OWN, Running, running
from tests.benchmarks.generator import generate
from tests.benchmarks.goals import Verdict
from tests.benchmarks.measure import WARM_UP_SECONDS, paired, take_turns
from tests.benchmarks.options import Options
from tests.benchmarks.report import judge, say, show_figures, write
from tests.benchmarks.routes import Route, routes
from tests.benchmarks.rows import Conversation, Target, asked, load, mixture
from tests.benchmarks.world import Pair, connected, new_pair, pair_of_servers

PEOPLE = 1000
MESSAGES = 100_000
ROUTES = ("session", "messages", "message")
GOAL = 0.95
INSERT_KEY = """
INSERT INTO api_keys (tenant_id, id, name, digest, scopes)
VALUES ($1, $2, 'backend', $3, '["chat:read", "chat:write"]')
"""
TOKEN, KEY, EXTERNAL = "their tokens", "a key, user ids", "a key, external ids"


def measure_callers(options: Options) -> bool:
    """Return whether all goals were met. All are people of one tenant, whose backend has one key.

    The same process answers all of them, so that one differs from another by its caller alone.
    """
    with ExitStack() as stack:
        pair = new_pair(stack.enter_context(pair_of_servers()), "callers")
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bicameral-benchmarks-")))
        talk = asked(load(pair, tenants=1, users=PEOPLE, lengths=mixture(MESSAGES)))
        key = asyncio.run(_make_key(pair, talk[0].owner.tenant_id))
        say(f"{MESSAGES:,} messages of {PEOPLE:,} people are loaded")
        service = stack.enter_context(running(OUR_OWN, pair, options.out))
        cases = dict(_cases(talk, key, folder, service, pair, options.seconds))
        for case in cases.values():
            case.warm_up()
        rates = take_turns(cases, options.rounds)
    cpu = {name: case.cpu_seconds for name, case in cases.items()}
    return _finish(options, rates, cpu)


async def _make_key(pair: Pair, tenant_id: UUID) -> str:
    key = new_key()
    async with connected(pair.user, pair.name) as user:
        await user.execute(INSERT_KEY, tenant_id, uuid7(), token_digest(key))
    return key


def _cases(
    talk: Sequence[Conversation],
    key: str,
    folder: Path,
    service: Running,
    pair: Pair,
    seconds: int,
) -> Iterator[tuple[str, Case]]:
    targets = {
        TOKEN: [one.target for one in talk],
        KEY: [Target(key, one.id, str(one.owner.user_id)) for one in talk],
        EXTERNAL: [Target(key, one.id, f"external:{one.owner.user_id.hex}") for one in talk],
    }
    made = {
        caller: {one.key: one for one in routes(those, _made(folder / caller))}
        for caller, those in targets.items()
    }
    for route in ROUTES:
        for caller, every in made.items():
            yield f"{route}, {caller}", Case(service, every[route], pair, seconds)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


class Case:
    """Each call asks for some seconds, and says how many requests per second were answered."""

    def __init__(self, one: Running, route: Route, pair: Pair, seconds: int) -> None:
        self._one, self._route, self._pair, self._seconds = one, route, pair, seconds
        self.cpu_seconds: list[float] = []  # for 1,000 requests, the service's alone

    def warm_up(self) -> None:
        generate(self._one.url, self._route.load, WARM_UP_SECONDS)
        self._undo()

    def __call__(self) -> float:
        self._pair.rest()
        before = self._one.cpu_seconds()
        result = generate(self._one.url, self._route.load, self._seconds)
        self.cpu_seconds.append((self._one.cpu_seconds() - before) / result.requests * 1000)
        self._undo()
        return result.per_second

    def _undo(self) -> None:
        if self._route.writes:
            self._pair.undo()


def _finish(options: Options, rates: dict[str, list[float]], cpu: dict[str, list[float]]) -> bool:
    verdicts = [
        Verdict(
            f"{route}, {caller} ÷ {TOKEN}",
            paired(rates[f"{route}, {caller}"], rates[f"{route}, {TOKEN}"]),
            GOAL,
        )
        for route in ROUTES
        for caller in (KEY, EXTERNAL)
    ]
    show_figures("Requests per second", rates)
    show_figures("CPU seconds of the service per 1,000 requests", cpu)
    write(options.out, "callers", requests_per_second=rates, cpu_seconds=cpu, goals=verdicts)
    return judge(verdicts)
