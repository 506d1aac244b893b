"""Every exchange with a database passes here: timed, and counted and traced for its request."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import TypeVar

from app.telemetry import traces
from app.telemetry.context import RequestContext, current_request
from app.telemetry.metrics import STATEMENTS

T = TypeVar("T")
_observers = {name: STATEMENTS.labels(name).observe for name in ("user", "general")}


async def observed(database: str, query: str, exchange: Awaitable[T]) -> T:
    """What the exchange returns or raises; one that fails counts like any other."""
    request = current_request.get()
    # The relay's and the commands' belong to no request: each look would be a trace of its own.
    if request is not None and traces.spans is not None:
        exchange = traces.spans.of_statement(database, query, exchange)
    started = time.perf_counter()
    try:
        return await exchange
    finally:
        _observers[database](time.perf_counter() - started)
        if request is not None:
            _count(request, database)


def _count(request: RequestContext, database: str) -> None:
    if database == "user":
        request.round_trips_user += 1
    else:
        request.round_trips_general += 1


def count_rows(rows: int) -> None:
    """That a database sent, for the request's line."""
    request = current_request.get()
    if request is not None:
        request.rows += rows
