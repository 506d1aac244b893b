"""Measures what sealing costs: the service with SEAL_KEYS beside the same without, in turns.

Whatever is read was written over HTTP, by the service that reads it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import httpx

from tests.benchmarks.contestants import OUR_OWN, Running, running
from tests.benchmarks.export import Export
from tests.benchmarks.generator import generate
from tests.benchmarks.goals import Verdict
from tests.benchmarks.measure import WARM_UP_SECONDS, paired, take_turns
from tests.benchmarks.options import Options
from tests.benchmarks.report import judge, say, show_figures, warn_of_noise, write
from tests.benchmarks.routes import BATCH, BATCHES, Route, batch_body, routes
from tests.benchmarks.rows import Target, load
from tests.benchmarks.world import BenchmarkError, Pair, Servers, new_pair, pair_of_servers

SEAL_KEYS = "benchmark:" + base64.b64encode(bytes(range(32))).decode()
ENVIRONMENTS: Mapping[str, Mapping[str, str]] = {"plain": {}, "sealed": {"SEAL_KEYS": SEAL_KEYS}}
SESSIONS, MESSAGES = 200, 100
EXPORTED = 20 * BATCH
# Requests per second, sealed ÷ plain, at least.
GOALS = {"session": 0.9, "messages": 0.8, "message": 0.9, "batch": 0.6, "export": 0.3}


class Side(NamedTuple):
    """A service, what is asked of it, and the token of somebody who has said a lot."""

    service: Running
    pair: Pair
    routes: Mapping[str, Route]
    export: Export


def measure_sealed(options: Options) -> bool:
    """Return whether all goals were met."""
    warn_of_noise()
    with ExitStack() as stack:
        servers = stack.enter_context(pair_of_servers())
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bicameral-benchmarks-")))
        sides = {name: _side(name, servers, folder, stack, options) for name in ENVIRONMENTS}
        say(f"{SESSIONS * MESSAGES + EXPORTED:,} messages were written to each")
        for side in sides.values():
            for route in side.routes.values():
                _rate(side, route, WARM_UP_SECONDS)()
        rates = take_turns(dict(_cases(sides, options.seconds)), options.rounds)
    verdicts = [
        Verdict(
            f"{key}, sealed ÷ plain", paired(rates[f"{key}, sealed"], rates[f"{key}, plain"]), goal
        )
        for key, goal in GOALS.items()
    ]
    show_figures("Requests per second; of the export, messages", rates)
    write(options.out, "sealed", per_second=rates, goals=verdicts)
    return judge(verdicts)


def _side(name: str, servers: Servers, folder: Path, stack: ExitStack, options: Options) -> Side:
    """Start the service before anything is said: then it seals from the first word on."""
    pair, environment = new_pair(servers, name), OUR_OWN.environment | dict(ENVIRONMENTS[name])
    ours = replace(OUR_OWN, name=f"{OUR_OWN.name}, {name}", environment=environment)
    service = stack.enter_context(running(ours, pair, options.out))
    *talk, longest = [
        one.target
        for one in load(pair, tenants=SESSIONS + 1, users=1, lengths=[0] * (SESSIONS + 1))
    ]
    _say(service, talk, MESSAGES)
    for _ in range(EXPORTED // BATCH):
        _say(service, [longest], BATCH)
    (folder / name).mkdir()
    asked = {one.key: one for one in routes(talk, folder / name)}
    return Side(service, pair, asked, Export(service, "/v1/me/export", longest.token, EXPORTED))


def _say(service: Running, targets: Sequence[Target], messages: int) -> None:
    body = {"messages": batch_body()["messages"][:messages]}
    with httpx.Client(base_url=service.url, timeout=60) as http:
        for one in targets:
            headers = {"Authorization": f"Bearer {one.token}"}
            answer = http.post(BATCHES % one.session_id, json=body, headers=headers)
            if answer.status_code != 201:
                raise BenchmarkError(f"a batch was answered {answer.status_code}: {answer.text}")


def _cases(sides: Mapping[str, Side], seconds: int) -> Iterator[tuple[str, Callable[[], float]]]:
    for key in GOALS:
        for name, side in sides.items():
            asked = side.export if key == "export" else _rate(side, side.routes[key], seconds)
            yield f"{key}, {name}", asked


def _rate(side: Side, route: Route, seconds: int) -> Callable[[], float]:
    return partial(_requests_per_second, side, route, max(seconds, route.least_seconds))


def _requests_per_second(side: Side, route: Route, seconds: int) -> float:
    side.pair.rest()
    return generate(side.service.url, route.load, seconds).per_second
