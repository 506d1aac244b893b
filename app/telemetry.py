"""Logs: events with fields, one line of JSON each. Never a password, token, e-mail or text.

| event              | fields                                    | when                            |
|--------------------|-------------------------------------------|---------------------------------|
| `request`          | method, route, status, duration_ms        | each request, once answered     |
| `request_failed`   | status, error, sqlstate, where            | an answer of 500 or more        |
| `database_away`    | database, error                           | at start, and going on anyway   |
| `login_refused`    | reason, account, address                  | account and address as digests  |
"""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Any, cast

import structlog

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Message, Receive, Scope, Send

log: structlog.stdlib.BoundLogger = structlog.get_logger("bicameral")


def configure_logs() -> None:
    """Idempotent. Lines go to standard error: standard output belongs to the commands."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def log_requests(app: ASGIApp) -> ASGIApp:
    """Middleware: the route's template, never the path itself, since paths hold ids."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await app(scope, receive, observe)
        finally:
            log.info("request", **_fields(scope, status, time.perf_counter() - started))

    return middleware


def _fields(scope: Scope, status: int, seconds: float) -> dict[str, Any]:
    known = cast("dict[str, Any]", scope)  # a path that leads nowhere has no template
    return {
        "method": known.get("method"),
        "route": known.get("path_template", ""),
        "status": status,
        "duration_ms": round(seconds * 1000, 1),
    }
