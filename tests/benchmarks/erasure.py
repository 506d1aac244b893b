"""Measures a tenant's erasure beside a bare DELETE by the same keys: people per second.

While it goes on, somebody of another tenant is deleted: their erasure must not wait for it. All
times are the user database's own, from the commit of a deletion to the acknowledged receipt.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from uuid import UUID

import asyncpg

from tests.benchmarks.contestants import OUR_OWN, running
from tests.benchmarks.goals import Verdict
from tests.benchmarks.measure import paired
from tests.benchmarks.options import Options
from tests.benchmarks.report import judge, say, show_figures, warn_of_noise, write
from tests.benchmarks.rows import Someone, load
from tests.benchmarks.world import BenchmarkError, Pair, connected, new_pair, pair_of_servers

PEOPLE = 3000
MESSAGES = 10  # each, in one conversation
ROWS = 2000  # that the bare DELETE deletes with one commit
MEANWHILE_SECONDS = 0.2
GIVES_UP_SECONDS = 120
GOAL = 0.03
ALONE_SECONDS = 2
LOOK_SECONDS = 0.02

PENDING = "SELECT count(*) FROM subject_ledger WHERE tenant_id = $1 AND delivered_rev < rev"
LASTED = """
SELECT extract(epoch FROM max(completed_at) - min(changed_at))::float8
FROM subject_ledger WHERE tenant_id = $1 AND state = 'deleted'
"""
# In the order of the table, as the erasure's own batches come.
KEYS = {
    "messages": "SELECT id FROM messages WHERE tenant_id = $1 ORDER BY ctid",
    "chat_sessions": "SELECT id FROM chat_sessions WHERE tenant_id = $1 ORDER BY ctid",
}
DELETE = "DELETE FROM {} WHERE tenant_id = $1 AND id = ANY ($2)"


def measure_erasure(options: Options) -> bool:
    """Return whether all goals were met."""
    warn_of_noise()
    with ExitStack() as stack:
        pair = new_pair(stack.enter_context(pair_of_servers()), "erasure")
        tenants = _load(pair, 2 * options.rounds)
        alone = _load(pair, options.rounds, people=2)
        say(f"{len(tenants)} tenants of {PEOPLE:,} people are loaded")
        stack.enter_context(running(OUR_OWN, pair, options.out))
        people: dict[str, list[float]] = {"erasure": [], "bare DELETE": []}
        seconds: list[float] = []
        for number, other in enumerate(alone):
            ours, bare = tenants[2 * number : 2 * number + 2]
            rate, lone = asyncio.run(_erase(pair, ours[0].tenant_id, other[0]))
            people["erasure"].append(rate)
            people["bare DELETE"].append(asyncio.run(_delete(pair, bare[0].tenant_id)))
            seconds.append(lone)
            say(f"Round {number + 1} of {options.rounds}")
    return _finish(options, people, seconds)


def _load(pair: Pair, tenants: int, people: int = PEOPLE) -> list[list[Someone]]:
    lengths = [MESSAGES] * (tenants * people)
    owners = [one.owner for one in load(pair, tenants=tenants, users=people, lengths=lengths)]
    ids = {one.tenant_id: None for one in owners}  # in their order
    return [[one for one in owners if one.tenant_id == tenant] for tenant in ids]


async def _erase(pair: Pair, tenant_id: UUID, other: Someone) -> tuple[float, float]:
    """Return the tenant's people per second, and the other's seconds."""
    async with connected(pair.user, pair.name) as user:
        await user.execute("DELETE FROM tenants WHERE id = $1", tenant_id)
        await asyncio.sleep(MEANWHILE_SECONDS)
        await user.execute("DELETE FROM users WHERE id = $1", other.user_id)
        lone = await _lasted(user, other.tenant_id)
        return PEOPLE / await _lasted(user, tenant_id), lone


async def _lasted(user: asyncpg.Connection, tenant_id: UUID) -> float:
    gives_up = time.monotonic() + GIVES_UP_SECONDS
    while await user.fetchval(PENDING, tenant_id):
        if time.monotonic() > gives_up:
            raise BenchmarkError("The erasure does not end")
        await asyncio.sleep(LOOK_SECONDS)
    return float(await user.fetchval(LASTED, tenant_id) or 0)


async def _delete(pair: Pair, tenant_id: UUID) -> float:
    """Return how many people per second go, without owner, lock, count, receipt or ledger."""
    async with connected(pair.general, pair.name) as general:
        keys = {
            table: [row[0] for row in await general.fetch(query, tenant_id)]
            for table, query in KEYS.items()
        }
        began = time.perf_counter()
        for table, ids in keys.items():
            for some in _portions(ids):
                await general.execute(DELETE.format(table), tenant_id, some)
        return PEOPLE / (time.perf_counter() - began)


def _portions(ids: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    for first in range(0, len(ids), ROWS):
        yield ids[first : first + ROWS]


def _finish(options: Options, people: dict[str, list[float]], seconds: list[float]) -> bool:
    verdicts = [
        Verdict(
            "erasure ÷ bare DELETE, people/s",
            paired(people["erasure"], people["bare DELETE"]),
            GOAL,
        ),
        Verdict("one person meanwhile, seconds", max(seconds), ALONE_SECONDS, at_least=False),
    ]
    show_figures("People per second", people)
    show_figures("Seconds", {"one person meanwhile": seconds})
    write(options.out, "erasure", people_per_second=people, seconds=seconds, goals=verdicts)
    return judge(verdicts)
