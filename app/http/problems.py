"""Every exception becomes the answer a client gets (RFC 9457) here, and only here.

Errors of the driver are told apart by SQLSTATE and constraint name only: their messages carry
values and names of ours.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import msgspec
from advanced_alchemy.exceptions import NotFoundError
from litestar import Response
from litestar.exceptions import HTTPException, ValidationException

from app.databases.causes import (
    ENDS_BEFORE,
    IS_SEALED,
    OTHER_KEY,
    OWNER_CLOSED,
    OWNER_HELD,
    TOO_MUCH_TO_FORK,
    describe,
    is_passing,
    sqlstate,
)
from app.databases.sealing.master_keys import KeyUnavailableError
from app.http.errors import (
    BadRequest,
    Conflict,
    FieldError,
    Forbidden,
    HeadersTooLarge,
    Invalid,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    PreconditionFailed,
    Problem,
    RequestTimeout,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
)
from app.http.words import MISSING, explain
from app.telemetry import log

if TYPE_CHECKING:
    from litestar import Request
    from litestar.types import Message

PROBLEM_JSON = "application/problem+json"


class ProblemDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = None


BY_STATUS: dict[int, type[Problem]] = {
    error.status: error
    for error in (
        BadRequest,
        Unauthenticated,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        RequestTimeout,
        Conflict,
        PreconditionFailed,
        PayloadTooLarge,
        UnsupportedMediaType,
        Invalid,
        TooManyRequests,
        HeadersTooLarge,
        Unavailable,
    )
}

# HTTPStatus's own phrases for these differ between Python versions.
TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}

# Where a constraint of ours is what tells the client: the constraint, the field, the message.
CONSTRAINTS: dict[str, Problem] = {
    "idx_users_username": Conflict("This username is taken; choose another."),
    "idx_users_email": Conflict("This e-mail address is in use; choose another."),
    "idx_users_external_id": Conflict("This external id is another user's; choose another."),
    "idx_chat_sessions_external_id": Conflict(
        "This external id is another conversation's of yours; choose another."
    ),
    "idx_tenants_name": Conflict("This tenant name is taken; choose another."),
    "fk_holds_user_id_users": Conflict(
        "There is a legal hold; what it is on cannot be deleted until it is lifted."
    ),
    # Deleted since the token was checked:
    "fk_user_idempotency_keys_user_id_users": Unauthenticated(),
}


OF_ANOTHER_KEY = "What you said is sealed under another key than yours is now; tell an operator."
# Where a function of ours refuses, by an SQLSTATE of its own.
REFUSALS: dict[str, Problem] = {
    OTHER_KEY: Unavailable(OF_ANOTHER_KEY),
    IS_SEALED: Unavailable(KeyUnavailableError.__doc__),
    OWNER_CLOSED: Unauthenticated(),
    OWNER_HELD: Conflict(
        "This user is under a legal hold: until it is lifted, what they said cannot be changed or"
        " deleted."
    ),
    ENDS_BEFORE: Invalid.field("position", "The conversation ends before this position."),
    TOO_MUCH_TO_FORK: PayloadTooLarge("There is too much to copy; fork from an earlier position."),
}


def problem_response(request: Request[Any, Any, Any], error: Exception) -> Response[ProblemDetails]:
    """Answer any exception. This is the only exception handler there is."""
    problem = to_problem(error)
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("request_failed", status=problem.status, **describe(error))
    return Response(
        problem_details(problem),
        status_code=problem.status,
        media_type=PROBLEM_JSON,
        headers=problem.headers,
    )


def problem_details(problem: Problem) -> ProblemDetails:
    return ProblemDetails(
        type="about:blank",
        title=TITLES.get(problem.status) or HTTPStatus(problem.status).phrase,
        status=problem.status,
        detail=str(problem),
        errors=problem.errors,
    )


def encoded(problem: Problem) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return headers and body of a problem that is answered without Litestar."""
    body = msgspec.json.encode(problem_details(problem))
    headers = {"content-type": PROBLEM_JSON, "content-length": str(len(body))} | problem.headers
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()], body


def asgi_messages(problem: Problem) -> list[Message]:
    """Return a problem as the two messages that an ASGI server takes."""
    headers, body = encoded(problem)
    return [
        {"type": "http.response.start", "status": problem.status, "headers": headers},
        {"type": "http.response.body", "body": body, "more_body": False},
    ]


def to_problem(error: BaseException) -> Problem:
    match error:
        case Problem():
            return error
        case NotFoundError():
            return NotFound()
        case KeyUnavailableError():
            return Unavailable(error.__doc__)
        case ValidationException():
            return _from_validation(error)
        case HTTPException():
            return _from_framework(error)
        case msgspec.ValidationError():
            return Invalid(errors=[explain(str(error))])
        case msgspec.DecodeError() | UnicodeDecodeError():
            return BadRequest()
        case _:
            return _from_database(error)


def _from_framework(error: HTTPException) -> Problem:
    problem = BY_STATUS.get(error.status_code, Problem)()
    problem.headers |= error.headers or {}
    return problem


def _from_validation(error: ValidationException) -> Problem:
    """Read what Litestar says of parameters; bodies are msgspec's alone (server.JsonRequest)."""
    if isinstance(error.__cause__, KeyError):  # the name of a parameter that was not sent
        return Invalid.field(str(error.__cause__.args[0]), MISSING)
    entries = cast("list[dict[str, str]]", error.extra or [])
    # An optional body that is not there is listed along with what is wrong.
    others = [entry for entry in entries if entry.get("key") != "data"]
    if entries and not others:
        return BadRequest("This request needs a JSON body.")
    return Invalid(
        errors=[FieldError(_place(e), explain(e.get("message", "")).message) for e in others]
    )


def _place(entry: dict[str, str]) -> str:
    """Name a header as it is sent; Litestar knows it by its handler's argument."""
    name = entry.get("key", "")
    return name.replace("_", "-").title() if entry.get("source") == "header" else name


def _from_database(error: BaseException) -> Problem:
    state, constraint = sqlstate(error)
    if constraint in CONSTRAINTS:
        return CONSTRAINTS[constraint]
    return Unavailable() if is_passing(error) else _from_sqlstate(state or "")


def _from_sqlstate(state: str) -> Problem:
    """Map 23505 and 23503 to a conflict; other 22 and 23 are values the columns refuse."""
    match state[:2]:
        case "BC":
            return REFUSALS.get(state) or Unavailable()
        case "23" if state in ("23505", "23503"):
            return Conflict()
        case "22" | "23":
            return Invalid("A value cannot be stored; check the length and characters you sent.")
        case _:
            return Problem()
