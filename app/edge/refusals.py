"""These are the answers to requests that the gate refuses or gives up."""

from __future__ import annotations

import asyncio

from app.http.errors import Problem, Unavailable

TOO_LONG = "The request took too long and was given up; try again."
STOPPING = "The service stops, and this request took too long for it; try again."


def problem_of(error: BaseException, method: str, *, is_stopping: bool) -> Problem | None:
    """Return None for a fault, and where the client has gone."""
    match error:
        case Problem():
            return error
        case TimeoutError():
            return _given_up(TOO_LONG, method)
        case asyncio.CancelledError() if is_stopping:
            return _given_up(STOPPING, method)
        case _:
            return None


def _given_up(detail: str, method: str) -> Problem:
    """Tell clients that repeat by themselves not to: the change may be done or not."""
    problem = Unavailable(detail)
    if method not in ("GET", "HEAD"):
        problem.headers["X-Should-Retry"] = "false"
    return problem
