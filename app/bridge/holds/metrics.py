"""Shows how many holds wait for a relay, as the user database tells it at each scrape."""

from __future__ import annotations

import math

from prometheus_client import Gauge

from app.bridge.holds.outbox import Backlog

PENDING = Gauge(
    "bicameral_hold_pending",
    "Legal holds that are not in force yet, and lifts likewise",
    multiprocess_mode="mostrecent",
)
OLDEST = Gauge(
    "bicameral_hold_oldest_pending_seconds",
    "Since the oldest of them was placed or lifted",
    multiprocess_mode="mostrecent",
)


def show(backlog: Backlog | None) -> None:
    """Set the gauges; None means that the user database is away, and shows them as unknown."""
    PENDING.set(backlog.pending if backlog else math.nan)
    OLDEST.set(backlog.oldest_pending_seconds if backlog else math.nan)
