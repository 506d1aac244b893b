"""Export and batch beside the bare driver's cursor and COPY: rows per second, MB/s, memory."""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from tests.benchmarks.contestants import BARE, OUR_OWN, Running, running
from tests.benchmarks.generator import Load, generate
from tests.benchmarks.goals import Verdict
from tests.benchmarks.measure import paired, take_turns
from tests.benchmarks.options import Options
from tests.benchmarks.report import judge, say, show_figures, write
from tests.benchmarks.routes import BATCH, routes
from tests.benchmarks.rows import load, mixture, targets
from tests.benchmarks.world import BenchmarkError, Pair, new_pair, pair_of_servers

EXPORTED = 500_000
GOAL = 0.8
CONSTANT_MB = 60  # more than this on top, while exporting, is not constant memory
CHUNK = 1 << 20


def measure_bulk(options: Options) -> bool:
    """Return whether all goals were met."""
    with ExitStack() as stack:
        pair = new_pair(stack.enter_context(pair_of_servers()), "bulk")
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bicameral-benchmarks-")))
        # One user has it all, and is the whole tenant.
        talk = load(pair, tenants=1, users=1, lengths=mixture(EXPORTED))
        say(f"{EXPORTED:,} messages of one user are loaded")
        ours = stack.enter_context(running(OUR_OWN, pair, options.out))
        bare = stack.enter_context(running(BARE, pair, options.out))
        who = talk[0].owner
        batch = next(one for one in routes(targets(talk), folder) if one.key == "batch")
        exports = {
            "export": Export(ours, "/v1/me/export", who.token),
            "bare cursor": Export(bare, f"/cursor/{who.tenant_id}/{who.user_id}"),
            "bare COPY": Export(bare, f"/copy/{who.tenant_id}/{who.user_id}"),
        }
        rows = take_turns(exports, options.rounds)
        seconds = max(options.seconds, batch.least_seconds)
        batches = {
            "batch": Batches(ours, pair, batch.load, seconds),
            "batch, bare COPY": Batches(bare, pair, batch.load, seconds),
        }
        rows |= take_turns(batches, options.rounds)
    return _finish(options, rows, exports)


class Export:
    """Each call reads one export to its end and says how many rows came per second."""

    def __init__(self, one: Running, path: str, token: str = "", rows: int = EXPORTED) -> None:
        self._one, self._path, self._token, self._rows = one, path, token, rows
        self.megabytes_per_second: list[float] = []
        self.added_mb = 0.0

    def __call__(self) -> float:
        idle, began = self._one.rss_mb(), time.perf_counter()
        connection = http.client.HTTPConnection(urlsplit(self._one.url).netloc)
        connection.request("GET", self._path, headers={"Authorization": f"Bearer {self._token}"})
        response = connection.getresponse()
        size = lines = 0
        while data := response.read(CHUNK):
            size += len(data)
            lines += data.count(b'"type":"message"') + data.count(b'"type" : "message"')
            self.added_mb = max(self.added_mb, self._one.rss_mb() - idle)
        connection.close()
        seconds = time.perf_counter() - began
        if abs(lines - self._rows) > size // CHUNK + 1:  # a mark may lie across two chunks
            raise BenchmarkError(f"{self._path}: {lines} messages of {self._rows}")
        self.megabytes_per_second.append(size / 1e6 / seconds)
        return self._rows / seconds


class Batches:
    """Each call stores batches for some seconds and says how many rows per second were."""

    def __init__(self, one: Running, pair: Pair, batch: Load, seconds: int) -> None:
        self._one, self._pair, self._batch, self._seconds = one, pair, batch, seconds

    def __call__(self) -> float:
        self._pair.rest()
        rate = generate(self._one.url, self._batch, self._seconds).per_second
        self._pair.undo()
        return rate * BATCH


def _finish(options: Options, rows: dict[str, list[float]], exports: Mapping[str, Export]) -> bool:
    megabytes = {name: one.megabytes_per_second for name, one in exports.items()}
    added = {name: [one.added_mb] for name, one in exports.items()}
    verdicts = [
        Verdict("export ÷ bare cursor, rows/s", paired(rows["export"], rows["bare cursor"]), GOAL),
        Verdict("export ÷ bare COPY, rows/s", paired(rows["export"], rows["bare COPY"]), GOAL),
        Verdict("batch ÷ bare COPY, rows/s", paired(rows["batch"], rows["batch, bare COPY"]), GOAL),
        Verdict("export, MB of memory on top", added["export"][0], CONSTANT_MB, at_least=False),
    ]
    show_figures("Rows per second", rows)
    show_figures("MB per second", megabytes)
    show_figures("MB of memory on top, at most", added)
    write(options.out, "export", rows_per_second=rows, mb_per_second=megabytes, goals=verdicts)
    return judge(verdicts)
