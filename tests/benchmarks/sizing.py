"""Measures what a message costs, and computes from it what many need.

Messages are appended to the running service one by one over HTTP, in three kinds. Their bytes are
of the tables and the write-ahead log that they made; their time is CPU time.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tests.benchmarks import plot, shards, typed
from tests.benchmarks.contestants import OUR_OWN, Running, postgres_cpu_seconds, running
from tests.benchmarks.generator import Load, generate
from tests.benchmarks.needs import COUNTED, Cost, Need, need
from tests.benchmarks.options import Options
from tests.benchmarks.report import console, say, warn_of_noise, write
from tests.benchmarks.routes import MESSAGES, Body
from tests.benchmarks.rows import load
from tests.benchmarks.world import Pair, Servers, connected, new_pair, pair_of_servers, run

# 190 signs, as long as the mean of the other benchmarks.
TEXT = ('The quiet corner holds more "weather" than most rooms dare: naïve, and on. ' * 3)[:190]
CONVERSATIONS = 2000
SIZES = """
SELECT pg_table_size('messages'), pg_indexes_size('messages'), (SELECT count(*) FROM messages)
"""
SEAL_KEY = "sizing:" + base64.b64encode(bytes(range(32))).decode()


class Kind(NamedTuple):
    name: str
    body: Body
    environment: Mapping[str, str]


KINDS = (
    Kind("plain", {"role": "user", "content": TEXT}, {}),
    Kind("typed", typed.message(), {}),
    Kind("sealed", {"role": "user", "content": TEXT}, {"SEAL_KEYS": SEAL_KEY}),
)


def measure_sizing(options: Options) -> bool:
    """There are no goals here: it is a computation."""
    warn_of_noise()
    with pair_of_servers() as servers:
        costs = {kind.name: _cost(kind, servers, options) for kind in KINDS}
    needs = {name: [need(cost, count) for count in COUNTED] for name, cost in costs.items()}
    say(f"{shards.TENANTS:,} tenants are dealt out to shards and workers")
    found = shards.balances()
    _show_costs(costs)
    _show_needs(needs)
    _show_balances(found)
    plot.draw_balances(options.out, found)
    write(options.out, "sizing", costs=costs, needs=needs, balances=found)
    return True


def _cost(kind: Kind, servers: Servers, options: Options) -> Cost:
    with ExitStack() as stack:
        pair = new_pair(servers, kind.name)
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bicameral-benchmarks-")))
        environment = OUR_OWN.environment | dict(kind.environment)
        ours = replace(OUR_OWN, name=f"{OUR_OWN.name}, {kind.name}", environment=environment)
        # Before anything is loaded: an installation is sealed from its first conversation on.
        service = stack.enter_context(running(ours, pair, options.out))
        append, page = _loads(pair, kind, folder)
        before = asyncio.run(_wal(pair))
        posts = _seconds(servers, service, append, options)
        wal = asyncio.run(_wal(pair)) - before
        heap, indexes, rows = asyncio.run(_bytes(pair))
        pages = _seconds(servers, service, page, options)
    say(f"{rows:,} {kind.name} messages were appended")
    return Cost(heap / rows, indexes / rows, wal / rows, *posts, *pages)


def _loads(pair: Pair, kind: Kind, folder: Path) -> tuple[Load, Load]:
    talk = load(pair, tenants=100, users=10, lengths=[0] * CONVERSATIONS)
    lines, body = folder / "targets", folder / "body.json"
    lines.write_text("".join(f"{one.owner.token} {one.id}\n" for one in talk))
    body.write_text(json.dumps(kind.body))
    return Load("POST", MESSAGES, lines, body), Load("GET", MESSAGES, lines)


def _seconds(
    servers: Servers, service: Running, asked: Load, options: Options
) -> tuple[float, float]:
    """Measure the CPU seconds of one request: the service's, and PostgreSQL's."""
    own, postgres = service.cpu_seconds(), postgres_cpu_seconds(servers)
    answered = generate(service.url, asked, options.rounds * options.seconds).requests
    own, postgres = service.cpu_seconds() - own, postgres_cpu_seconds(servers) - postgres
    return own / answered, postgres / answered


async def _wal(pair: Pair) -> int:
    async with connected(pair.general, pair.name) as general:
        return int(await general.fetchval("SELECT pg_current_wal_lsn() - '0/0'"))


async def _bytes(pair: Pair) -> tuple[int, int, int]:
    """Measure table and indexes once no dead row is counted."""
    await asyncio.to_thread(run, pair.general, pair.name, "VACUUM messages")
    async with connected(pair.general, pair.name) as general:
        heap, indexes, rows = await general.fetchrow(SIZES) or (0, 0, 0)
        return heap, indexes, rows


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _show_costs(costs: Mapping[str, Cost]) -> None:
    columns = ("", "heap B", "index B", "WAL B", "messages/s a service core", "a PostgreSQL core")
    rows = [
        (
            name,
            *(f"{value:,.0f}" for value in cost[:3]),
            f"{1 / cost.service:,.0f}",
            f"{1 / cost.postgres:,.0f}",
        )
        for name, cost in costs.items()
    ]
    _table("A message", columns, rows)


def _show_needs(needs: Mapping[str, Sequence[Need]]) -> None:
    columns = ("", "messages", "GB", "busiest/s", "service cores", "PostgreSQL cores", "servers")
    rows = [
        (
            name,
            f"{one.messages:.0e}",
            f"{one.disk_bytes / 1e9:,.1f}",
            f"{one.per_second:,.1f}",
            f"{one.service_cores:,.1f}",
            f"{one.postgres_cores:,.1f}",
            str(one.servers),
        )
        for name, each in needs.items()
        for one in each
    ]
    _table("What they need, kept for a year (standbys come on top)", columns, rows)


def _show_balances(found: list[shards.Balance]) -> None:
    columns = ("exponent", "largest tenant", *(f"{one} shards" for one in shards.SHARDS))
    rows = [
        (
            f"{exponent:g}",
            f"{shards.sizes(exponent)[0]:.1%}",
            *(str(shards.most_workers(found, exponent, one)) for one in shards.SHARDS),
        )
        for exponent in shards.EXPONENTS
    ]
    _table(f"Workers up to which the fullest has ≤ {shards.EVEN_ENOUGH} × the mean", columns, rows)
