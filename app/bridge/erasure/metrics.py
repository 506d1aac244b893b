"""The relay's figures. The backlog is asked for at each scrape, so every process shows the same;
counters belong to one process and add up over all of them.
"""

from __future__ import annotations

import math

from prometheus_client import Counter, Gauge, Histogram

from app.bridge.erasure.ledger import Backlog

PENDING = Gauge(
    "bicameral_erasure_pending",
    "Deleted users whose conversations are there yet",
    multiprocess_mode="mostrecent",
)
OLDEST = Gauge(
    "bicameral_erasure_oldest_pending_seconds",
    "Since the oldest of them was deleted",
    multiprocess_mode="mostrecent",
)
ATTEMPTS = Gauge(
    "bicameral_erasure_attempts_max",
    "Most attempts any of them has had",
    multiprocess_mode="mostrecent",
)
LAG = Histogram(
    "bicameral_erasure_lag_seconds",
    "From the commit of a deletion until the general database knew of it",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600),
)
COMPLETED = Counter("bicameral_erasures_completed", "Erasures that got their receipt here")
FAILED = Counter("bicameral_erasure_failures", "Attempts at an erasure that failed here")
PURGED = Counter("bicameral_erasure_purged_rows", "Rows erased here", ["table"])

RESTORED = Gauge(
    "bicameral_database_restored",
    "1 where the database lacks commits that the other one has seen",
    ["database"],
    multiprocess_mode="mostrecent",
)
DIFFERENCES = Gauge(
    "bicameral_reconcile_differences",
    "Found between the databases when they were last compared here",
    multiprocess_mode="mostrecent",
)


def show(backlog: Backlog | None) -> None:
    """Set the gauges; None means that the user database is away, and shows them as unknown."""
    PENDING.set(backlog.pending if backlog else math.nan)
    OLDEST.set(backlog.oldest_pending_seconds if backlog else math.nan)
    ATTEMPTS.set(backlog.attempts_max if backlog else math.nan)
