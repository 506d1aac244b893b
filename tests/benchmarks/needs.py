"""Computes what many messages need of machines from what one costs."""

from __future__ import annotations

import math
from typing import NamedTuple

COUNTED = (1e6, 1e8, 1e10)
# What the computation takes for given; the page says so.
YEARS_KEPT = 1
BUSIEST_TO_MEAN = 4  # the busiest hour's rate
PAGES_PER_MESSAGE = 2  # how often a client reads the newest 50 for each message
DISK_BYTES = 2e12 * 0.7  # of a server, and how full it may be
CORES = 16 * 0.5  # of a server, and how busy they may be
CONNECTIONS = 15  # a worker's to each database, as set by default


class Cost(NamedTuple):
    """A message's, in bytes and in CPU seconds; `page_…` are of a page of 50."""

    heap: float
    indexes: float
    wal: float
    service: float
    postgres: float
    page_service: float
    page_postgres: float


class Need(NamedTuple):
    """Machines for so many messages, beside the user database's primary and standbys."""

    messages: float
    disk_bytes: float
    per_second: float
    service_cores: float
    postgres_cores: float
    servers: int
    connections: int


def need(cost: Cost, messages: float) -> Need:
    """Compute it from a message's cost and the assumptions at the top of this module."""
    disk = messages * (cost.heap + cost.indexes)
    per_second = messages / (YEARS_KEPT * 365 * 86400) * BUSIEST_TO_MEAN
    service = per_second * (cost.service + PAGES_PER_MESSAGE * cost.page_service)
    postgres = per_second * (cost.postgres + PAGES_PER_MESSAGE * cost.page_postgres)
    servers = max(math.ceil(disk / DISK_BYTES), math.ceil(postgres / CORES))
    workers = math.ceil(service / 0.5)
    return Need(
        messages, disk, per_second, service, postgres, servers, max(workers, 1) * CONNECTIONS
    )
