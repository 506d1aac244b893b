"""This holds what is noted about the request that is being answered."""

from __future__ import annotations

from contextvars import ContextVar

import msgspec


class RequestContext(msgspec.Struct):
    """One request has one of these, changed in place, so that a statement costs an addition.

    The trace is the caller's, or one of our own where traces are on; else there is none.
    """

    request_id: str
    trace_id: str | None = None
    span_id: str = ""
    trace_flags: str = ""
    round_trips_user: int = 0
    round_trips_general: int = 0
    rows: int = 0
    status: int = 0


current_request: ContextVar[RequestContext | None] = ContextVar("request", default=None)
