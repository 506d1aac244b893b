"""Prometheus's figures are kept here. Labels are bounded: routes are templates, none holds an id.

With several worker processes each writes its own into PROMETHEUS_MULTIPROC_DIR, and whichever is
asked adds them up.
"""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
if FOLDER in os.environ:  # else prometheus_client fails below, and does not say why
    Path(os.environ[FOLDER]).mkdir(parents=True, exist_ok=True)

REQUESTS = Histogram(
    "bicameral_request_duration_seconds",
    "From a request's arrival to the end of its answer; route is empty where no route matched",
    ["route", "method", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
CALLERS = Counter(
    "bicameral_requests",
    "Requests by who called: with a login's token, a minted token, an api_key, or as nobody, which "
    "is without a good one",
    ["caller", "status"],
)
IN_FLIGHT = Gauge(
    "bicameral_requests_in_flight",
    "Requests that have arrived and are not answered yet",
    multiprocess_mode="livesum",
)
STATEMENTS = Histogram(
    "bicameral_statement_duration_seconds",
    "One exchange with a database, as the service waits for it",
    ["database"],
    buckets=(0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 15),
)
POOL = Gauge(
    "bicameral_pool_connections",
    "Connections of a pool, in_use or idle",
    ["pool", "database", "state"],
    multiprocess_mode="livesum",
)
WAITING = Gauge(
    "bicameral_pool_waiting",
    "Who waits for a connection of the pool, or for it to be opened",
    ["pool", "database"],
    multiprocess_mode="livesum",
)
LOOP_LAG = Gauge(
    "bicameral_event_loop_lag_seconds",
    "How late the process came to what it had planned a second before",
    multiprocess_mode="livemax",
)
MADE_AT = Gauge(
    "bicameral_metrics_timestamp_seconds",
    "When these figures were made: whoever asks within the same second gets the same",
    multiprocess_mode="livemostrecent",
)
LOGIN_REFUSALS = Counter("bicameral_login_refusals", "Passwords that were refused", ["reason"])
UNREADABLE = Counter(
    "bicameral_unreadable",
    "Sealed values that could not be opened: changed, or another row's",
    ["table"],
)


def render() -> bytes:
    """Return the figures of all worker processes in Prometheus's format."""
    folder = os.environ.get(FOLDER)
    if folder is None:
        return generate_latest()
    _forget_the_dead(Path(folder))
    together = CollectorRegistry()
    multiprocess.MultiProcessCollector(together, folder)
    return generate_latest(together)


def _forget_the_dead(folder: Path) -> None:
    """Drop what killed workers held, since it is in use no longer. Their counters stay."""
    for path in folder.glob("gauge_live*.db"):
        if not _is_alive(int(path.stem.rpartition("_")[2])):
            path.unlink(missing_ok=True)  # another worker may be at it too


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's
    return True
