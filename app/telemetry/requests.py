"""Each request makes one line of the log, one observation and, where traces are on, one span.

Every exchange with a database passes here, too: it is timed, and counted for its request's line.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import uuid_utils

from app.telemetry import logs, traces
from app.telemetry.context import RequestContext, current_request
from app.telemetry.metrics import CALLERS, REQUESTS, STATEMENTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from litestar.types import ASGIApp, HTTPResponseStartEvent, Message, Receive, Scope, Send

    Finish = Callable[[HTTPResponseStartEvent, Scope], None]
    Pause = Callable[[Scope], float]

T = TypeVar("T")
# As nginx has it: nobody is there any more to read an answer.
CLIENT_CLOSED_REQUEST = 499
# W3C Trace Context: version, trace, parent, flags; more may follow in versions to come.
TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
NO_TRACE, NO_PARENT = b"0" * 32, b"0" * 16

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_under_way = 0
_counters: dict[tuple[str, str, int, str], tuple[Callable[[float], None], Callable[[], None]]] = {}
_statement_observers = {name: STATEMENTS.labels(name).observe for name in ("user", "general")}


def no_pause(_: Scope) -> float:
    return 0.0


def requests_in_flight() -> int:
    return _under_way


def observe_requests(app: ASGIApp, finish: Finish, pause: Pause = no_pause) -> ASGIApp:
    """Wrap the whole application, so that what is refused before any route is seen too.

    `finish` may change each answer's headers before the request's own are added; `pause` tells for
    how many seconds the answer is held back.
    """

    # No coroutine of its own, which each step of the request would pass through.
    def observed(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return app(scope, receive, send)
        request = RequestContext(uuid_utils.uuid7().hex)
        read_traceparent(request, scope["headers"])
        answered = _answer(app, request, scope, receive, send, finish, pause)
        if traces.spans is None:
            return answered
        return traces.spans.around_request(request, scope, answered)

    return observed


def read_traceparent(request: RequestContext, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Take the caller's trace over. One that breaks the standard is ignored, and so are two."""
    found = [value for name, value in headers if name == b"traceparent"]
    match = TRACEPARENT.fullmatch(found[0].strip()) if len(found) == 1 else None
    if match is None:
        return
    version, trace, parent, flags, more = match.groups()
    if trace == NO_TRACE or parent == NO_PARENT or version == b"ff" or (version == b"00" and more):
        return
    request.trace_id, request.trace_flags = trace.decode(), flags.decode()
    request.span_id = request.request_id[16:]  # its random half


async def _answer(
    app: ASGIApp,
    request: RequestContext,
    scope: Scope,
    receive: Receive,
    send: Send,
    finish: Finish,
    pause: Pause,
) -> None:
    global _under_way
    started = time.perf_counter()
    _under_way += 1
    outer = current_request.set(request)

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            request.status = message["status"]
            finish(message, scope)
            message["headers"] = [*message["headers"], *_identity(request)]
            if seconds := pause(scope):
                await asyncio.sleep(seconds)
        await send(message)

    try:
        await app(scope, receive, answer)
    except BaseException as error:
        request.status = request.status or _status_of(error)
        raise
    finally:
        _note(request, scope, time.perf_counter() - started)
        current_request.reset(outer)
        _under_way -= 1


def _identity(request: RequestContext) -> list[tuple[bytes, bytes]]:
    headers = [(b"x-request-id", request.request_id.encode())]
    if request.trace_id is not None:
        ids = f"00-{request.trace_id}-{request.span_id}-{request.trace_flags}"
        headers.append((b"traceresponse", ids.encode()))
    return headers


def _status_of(error: BaseException) -> int:
    """Give a request that ended without an answer the status that the log shows."""
    return CLIENT_CLOSED_REQUEST if isinstance(error, asyncio.CancelledError) else 500


def _note(request: RequestContext, scope: Scope, seconds: float) -> None:
    """Note the route's template, never the path itself, since paths hold ids."""
    known = cast("dict[str, Any]", scope)  # a path that leads nowhere has no template
    method, route = known["method"], known.get("path_template", "")
    who = known.get("user")  # there is nobody before login, and on public routes
    _count(route, method, request.status, "nobody" if who is None else who.kind, seconds)
    fields = {
        "method": method,
        "route": route,
        "status": request.status,
        "duration_ms": round(seconds * 1000, 2),
        "rows": request.rows,
        "round_trips": request.round_trips_user + request.round_trips_general,
        "round_trips_user": request.round_trips_user,
        "round_trips_general": request.round_trips_general,
        "user_id": None if who is None else who.person_id,
        "actor": None if who is None else who.actor_id,
        "tenant_id": None if who is None else who.tenant_id,
    }
    if logs.console is None:
        _write(request, fields)
    else:
        logs.log.info("request", **fields)


def _count(route: str, method: str, status: int, caller: str, seconds: float) -> None:
    key = (route, method if method in METHODS else "other", status, caller)
    both = _counters.get(key)
    if both is None:  # finding the labels' children costs more than all the rest
        child = REQUESTS.labels(route, key[1], str(status))
        both = _counters[key] = child.observe, CALLERS.labels(caller, str(status)).inc
    observe, count = both
    observe(seconds)
    count()


def _write(request: RequestContext, fields: dict[str, Any]) -> None:
    """Write the line of JSON that `log.info` would, for half its time."""
    line = {"timestamp": datetime.now(UTC), "level": "info", "event": "request"}
    line["request_id"] = request.request_id
    if request.trace_id is not None:
        line["trace_id"] = request.trace_id
    with suppress(OSError, ValueError):  # as any line of the log, see logs.py
        sys.stderr.write(logs.encode(line | fields).decode() + "\n")


class Link(Protocol):
    """A connection is observed through this. With `echo` its statements go to the log."""

    @property
    def database(self) -> str: ...
    @property
    def echo(self) -> bool: ...


async def observe_statement(link: Link, query: str, exchange: Awaitable[T]) -> T:
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
        _statement_observers[database](seconds)
        if request is not None:
            _count_round_trip(request, database)
        if link.echo:
            duration_ms = round(seconds * 1000, 2)
            logs.log.info("statement", database=database, query=query, duration_ms=duration_ms)


def _count_round_trip(request: RequestContext, database: str) -> None:
    if database == "user":
        request.round_trips_user += 1
    else:
        request.round_trips_general += 1


def count_rows(rows: int) -> None:
    """Add rows that a database sent to the request's line."""
    request = current_request.get()
    if request is not None:
        request.rows += rows
