"""Measures what one caller's flood costs another tenant: each route's p99, flooded over calm.

The bystander asks each route at its own pace, over a connection of its own, from another address.
The flood is 130 connections that ask again as soon as they are answered. It has the lowest priority
of the processor: a caller's own machine would not take any of the service's.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.parse import urlsplit

from app.accounts.passwords import HASHER
from tests.benchmarks.contestants import OUR_OWN, Running, running
from tests.benchmarks.generator import (
    Load,
    Result,
    command,
    read_result,
    read_status,
    request_bytes,
)
from tests.benchmarks.goals import Verdict
from tests.benchmarks.options import Options
from tests.benchmarks.report import judge, say, show_figures, warn_of_noise, write
from tests.benchmarks.routes import BATCHES, MESSAGE, MESSAGES, SESSION, batch_body
from tests.benchmarks.rows import Conversation, load
from tests.benchmarks.world import Pair, new_pair, pair_of_servers, run

CONNECTIONS = 130
GOAL = 3
LEAST_SECONDS = 8
SETTLE_SECONDS = 1.0
ELSEWHERE = "127.0.0.2"
CALM = "calm"
LENGTH = 200  # messages in each conversation
PASSWORD = "a quiet corner of the library"
HASH = HASHER.hash(PASSWORD)
Figures = dict[str, dict[str, list[float]]]  # milliseconds, by flood and by the bystander's route


class Route(NamedTuple):
    method: str
    path: str
    body: object = None
    pace_seconds: float = 0.05  # the bystander's, from one request to the next


ROUTES = {
    "GET /v1/me": Route("GET", "/v1/me"),
    "GET session": Route("GET", SESSION),
    "GET messages": Route("GET", MESSAGES),
    "POST message": Route("POST", MESSAGES, MESSAGE),
    "GET export": Route("GET", "/v1/me/export", None, 0.2),
    "login": Route("POST", "/v1/auth/login", None, 1.0),
}
FLOODS = {
    **ROUTES,
    "POST batch": Route("POST", BATCHES, batch_body()),
    "GET /health/ready": Route("GET", "/health/ready"),
    "GET /metrics": Route("GET", "/metrics"),
    "GET /schema": Route("GET", "/schema"),
    "no such path": Route("GET", "/v1/nowhere"),
}


def measure_flood(options: Options) -> bool:
    """Return whether all goals were met."""
    warn_of_noise()
    with ExitStack() as stack:
        pair = new_pair(stack.enter_context(pair_of_servers()), "flood")
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bicameral-benchmarks-")))
        talks = load(pair, tenants=2, users=2, lengths=[LENGTH] * 4)
        _allow_logins(pair)
        ours = stack.enter_context(running(OUR_OWN, pair, options.out))
        scene = Scene(ours, talks, folder, max(options.seconds, LEAST_SECONDS))
        figures: Figures = {}
        for number in range(options.rounds):
            for flood in (CALM, *FLOODS):
                pair.rest()
                asyncio.run(scene.measure(flood, figures.setdefault(flood, {})))
                pair.undo()
                say(f"Round {number + 1} of {options.rounds}: {flood}")
    return _finish(options, figures)


def _allow_logins(pair: Pair) -> None:
    run(pair.user, pair.name, f"UPDATE users SET password_hash = '{HASH}'")


class Scene:
    """Two tenants: of each somebody who talks, and a colleague who logs in."""

    def __init__(
        self, one: Running, talks: Sequence[Conversation], folder: Path, seconds: int
    ) -> None:
        self._one, self._folder, self._seconds = one, folder, seconds
        self._flooder, self._bystander, self._stranger, self._colleague = talks
        self._place = urlsplit(one.url)

    async def measure(self, flood: str, figures: dict[str, list[float]]) -> None:
        """Add the bystander's milliseconds beside the flood, by route."""
        flooding = None if flood == CALM else await self._flooded_by(FLOODS[flood])
        await asyncio.sleep(SETTLE_SECONDS)
        asking = (self._ask(name, figures.setdefault(name, [])) for name in ROUTES)
        await asyncio.gather(*asking)
        if flooding is not None:
            printed, _ = await flooding.communicate()
            say(f"  {_told(read_result(printed.decode()))}")

    async def _flooded_by(self, route: Route) -> asyncio.subprocess.Process:
        line, body = self._folder / "target", self._folder / "body"
        line.write_text(f"{self._flooder.owner.token} {self._flooder.id}\n")
        content = _content(route, self._stranger)
        body.write_bytes(content)
        what = Load(route.method, route.path, line, body if content else None, CONNECTIONS)
        words = command(self._one.url, what, self._seconds + round(SETTLE_SECONDS))
        return await asyncio.create_subprocess_exec(
            "nice", "-n19", *words, stdout=asyncio.subprocess.PIPE
        )

    async def _ask(self, name: str, milliseconds: list[float]) -> None:
        """Ask at random moments, and tell when the bystander is refused."""
        route, talk = ROUTES[name], self._bystander
        request = request_bytes(
            route.method,
            route.path.replace("%s", str(talk.id)),
            talk.owner.token,
            _content(route, self._colleague),
        )
        chance, began = random.Random(name), time.perf_counter()
        reader, writer = await asyncio.open_connection(
            self._place.hostname, self._place.port, local_addr=(ELSEWHERE, 0)
        )
        while (sent := time.perf_counter()) < began + self._seconds - SETTLE_SECONDS:
            writer.write(request)
            status = await read_status(reader)
            milliseconds.append((time.perf_counter() - sent) * 1000)
            if status >= 400:
                say(f"{name}: the bystander was answered {status}")
            await asyncio.sleep(chance.uniform(0, 2 * route.pace_seconds))
        writer.close()


def _content(route: Route, who: Conversation) -> bytes:
    if route.path == ROUTES["login"].path:
        tenant, name = who.owner.tenant_id.hex, who.owner.user_id.hex
        username = f"\\tenant-{tenant}\\user-{name}"
        return json.dumps({"username": username, "password": PASSWORD}).encode()
    return json.dumps(route.body).encode() if route.body else b""


def _told(flood: Result) -> str:
    return f"{flood.per_second:,.0f} requests/s, {flood.refused} of {flood.requests} refused"


def _p99(milliseconds: Sequence[float]) -> float:
    return quantiles(milliseconds, n=100, method="inclusive")[98]


def _finish(options: Options, figures: Figures) -> bool:
    calm = figures.pop(CALM)
    show_figures("Calm, ms", calm)
    verdicts: list[Verdict] = []
    for flood, routes in figures.items():
        show_figures(f"Beside a flood of {flood}, ms", routes)
        verdicts += [
            Verdict(f"{name}, p99 beside {flood} ÷ calm", _p99(one) / _p99(calm[name]), GOAL, False)
            for name, one in routes.items()
        ]
    write(options.out, "flood", ms={CALM: calm, **figures}, goals=verdicts)
    return judge(verdicts)
