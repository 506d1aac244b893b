"""Every exchange with a database passes here, to be timed, counted and traced."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import Protocol, TypeVar

from app.telemetry import traces
from app.telemetry.context import RequestContext, current_request
from app.telemetry.logs import log
from app.telemetry.metrics import STATEMENTS

T = TypeVar("T")
_observers = {name: STATEMENTS.labels(name).observe for name in ("user", "general")}


class Link(Protocol):
    """A connection is observed through this. With `echo` its statements go to the log."""

    @property
    def database(self) -> str: ...
    @property
    def echo(self) -> bool: ...


async def observed(link: Link, query: str, exchange: Awaitable[T]) -> T:
    """Return or raise what the exchange does; one that fails counts like any other."""
    database = link.database
    request = current_request.get()
    # The relay's and the commands' belong to no request: each look would be a trace of its own.
    if request is not None and traces.spans is not None:
        exchange = traces.spans.of_statement(database, query, exchange)
    started = time.perf_counter()
    try:
        return await exchange
    finally:
        seconds = time.perf_counter() - started
        _observers[database](seconds)
        if request is not None:
            _count(request, database)
        if link.echo:
            duration_ms = round(seconds * 1000, 2)
            log.info("statement", database=database, query=query, duration_ms=duration_ms)


def _count(request: RequestContext, database: str) -> None:
    if database == "user":
        request.round_trips_user += 1
    else:
        request.round_trips_general += 1


def count_rows(rows: int) -> None:
    """Add rows that a database sent to the request's line."""
    request = current_request.get()
    if request is not None:
        request.rows += rows
