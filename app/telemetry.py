"""Logs: events with fields, one line of JSON each. Never a password, token, e-mail or text.

| event              | fields                                    | when                            |
|--------------------|-------------------------------------------|---------------------------------|
| `request`          | method, route, status, duration_ms,       | each request, once answered;    |
|                    | user_id, tenant_id                        | refusals are those of 401, 403  |
| `request_failed`   | status, error, sqlstate, where            | an answer of 500 or more        |
| `database_away`    | database, error                           | at start, and going on anyway   |
| `relay_waits`      | seconds, error, sqlstate, where           | a database the relay needs away |
| `relay_deaf`       | error, sqlstate, where                    | no notifications: it only polls |
| `erasure_completed`| user_id, seconds                          | receipt written and acknowledged|
| `erasure_failed`   | user_id, error, sqlstate, where           | and will be tried again, later  |
| `erasure_handed_on`| user_id, reason                           | its turn or its lease was over  |
| `databases_differ` | count, kinds                              | reconcile found differences     |
| `reconcile_failed` | error, sqlstate, where                    | and is tried again, later       |
| `login_refused`    | reason, account, address                  | account and address as digests  |

Within a request each event has its `request_id`, which the answer bears as `X-Request-Id`.
"""

from __future__ import annotations

import logging
import sys
import time
import uuid
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
        # Looked up each time: whoever redirects standard error gets the lines.
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def log_requests(app: ASGIApp) -> ASGIApp:
    """Middleware: the route's template, never the path itself, since paths hold ids."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = uuid.uuid4().hex
        status = 0

        async def observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
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
        **_who(known.get("user")),
    }


def _who(principal: Any) -> dict[str, str]:
    """Ids only; there is nobody before login, and on public routes."""
    if principal is None:
        return {}
    return {"user_id": str(principal.user_id), "tenant_id": str(principal.tenant_id)}
