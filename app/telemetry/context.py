"""The request that is being answered, for whatever is noted on the way."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class RequestContext:
    """One object for the whole request, changed in place: a statement costs it an addition.

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
