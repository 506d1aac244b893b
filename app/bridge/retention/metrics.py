"""Sweeps count here what they delete, each process by itself; counters of all of them add up."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

SWEPT = Counter("bicameral_retention_swept_rows", "Rows that were kept long enough", ["table"])
FAILED = Counter("bicameral_retention_failures", "Tenants whose sweep failed here")
SECONDS = Gauge(
    "bicameral_retention_sweep_seconds",
    "How long the last sweep here took",
    multiprocess_mode="mostrecent",
)
