"""A mixed load over HTTP while all breaks, at moments drawn from a seed; then a reckoning."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from tests.support.commands import litestar
from tests.support.leaks import leaks
from tests.support.servers import Servers
from tests.support.soak import figures
from tests.support.soak.checks import findings, left_open
from tests.support.soak.replicas import until
from tests.support.soak.soak import soaked
from tests.support.soak.state import seen

SECONDS = float(os.environ.get("SOAK_SECONDS", "60"))
SEED = os.environ.get("SOAK_SEED", "1")
REPORT = os.environ.get("SOAK_REPORT")
SETTLES_SECONDS = 360  # the relay's longest pause, and some
LEAST_SECONDS = 5.0  # of calm before anything breaks
MOST_SECONDS = 60.0
PENDING = "SELECT count(*) FROM subject_ledger WHERE delivered_rev < rev"
UNCLEAN = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'bicameral%'
AND state LIKE 'idle in transaction%'
"""


@pytest.mark.soak
async def test_all_that_was_acknowledged_is_there_and_nothing_else(
    servers: Servers, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faulthandler.dump_traceback_later(2 * SECONDS + 900, exit=True, file=2)
    async with soaked(servers, database, SEED, tmp_path) as (soak, commands):
        await soak.prepare(commands)
        began = time.monotonic()
        await soak.phase("calm", min(max(SECONDS / 10, LEAST_SECONDS), MOST_SECONDS), None)
        before = await soak.without_clients()
        breakage = soak.breakage()
        await soak.phase("broken", SECONDS, breakage)
        seconds = time.monotonic() - began
        await none(servers.user.url(database), PENDING, SETTLES_SECONDS)
        after = await soak.without_clients()
        for server in servers:
            await none(server.url(database), UNCLEAN, SETTLES_SECONDS)
        agree = await litestar("reconcile", env=commands)
        codes = [await one.stop() for one in soak.replicas]
    report = figures.figures(soak, breakage, seconds)
    report["erasures"] = await figures.erasures(servers, database)
    report["sockets"] = figures.sockets(before, after)
    report["log"] = figures.events((one.log for one in soak.replicas), soak.tally)
    async with seen(servers, database) as sight:
        found = findings(soak.book, await sight.state())
    report["reckoning"] = figures.reckoning(soak.book, found)
    report["surprises"] = soak.tally.surprises
    report["reconcile"] = {"code": agree.code, "out": agree.out.splitlines()[-5:]}
    await publish(report, capsys)
    assert found == []
    assert soak.tally.surprises == []
    assert (agree.code, agree.out) == (0, "The databases agree.\n")
    assert {status for _, status in soak.tally.answers if status >= 500} <= {503}
    assert [line for line in report["log"]["all"] if line.startswith("text")] == []
    assert [leaks(one.log.read_text()) for one in soak.replicas] == [[], []]
    assert set(codes + breakage.exit_codes) <= {0, -signal.SIGTERM}
    assert left_open(before, after) == []


async def none(url: str, question: str, seconds: float) -> None:
    """Asks until the answer is 0."""
    connection = await asyncpg.connect(url)
    try:
        await until(lambda: _is_none(connection, question), seconds)
    finally:
        connection.terminate()


async def _is_none(connection: asyncpg.Connection, question: str) -> bool:
    return await connection.fetchval(question) == 0


async def publish(report: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    written = msgspec.json.format(msgspec.json.encode(report)).decode()
    with capsys.disabled():
        sys.stdout.write(f"\n{written}\n")
    if REPORT:
        await asyncio.to_thread(Path(REPORT).write_text, written)
