"""Every error a client can see, and the one handler that renders it.

    Problem
    ├── BadRequest 400            ├── Conflict 409
    ├── Unauthenticated 401       ├── PayloadTooLarge 413
    ├── Forbidden 403             ├── UnsupportedMediaType 415
    ├── NotFound 404              ├── Invalid 422
    └── MethodNotAllowed 405      ├── TooManyRequests 429
                                  └── Unavailable 503

A docstring is the error's `detail` unless the raiser says more. Errors of the driver are told
apart by SQLSTATE and constraint name only: their messages carry values and names of ours.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, cast

import msgspec
from advanced_alchemy.exceptions import NotFoundError
from litestar import Response
from litestar.exceptions import HTTPException, ValidationException

from app.causes import describe, is_connection_loss, sqlstate
from app.telemetry import log

if TYPE_CHECKING:
    from litestar import Request

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_SECONDS = 1


class FieldError(msgspec.Struct, frozen=True):
    """One value that was refused: where it is, and what would be accepted."""

    path: str
    message: str


class ProblemDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = None


class Problem(Exception):  # noqa: N818  # the field's own term, RFC 9457
    """The service failed. The failure is logged; try again, and report it if it stays."""

    status: ClassVar[int] = 500

    def __init__(
        self, detail: str | None = None, *, errors: list[FieldError] | None = None
    ) -> None:
        super().__init__(detail or " ".join((type(self).__doc__ or "").split()))
        self.errors = errors
        self.headers: dict[str, str] = {}


class BadRequest(Problem):
    """The request's body is not JSON."""

    status = 400


class Unauthenticated(Problem):
    """Send a valid access token in the header `Authorization: Bearer …`."""

    status = 401

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail)
        self.headers = {"WWW-Authenticate": "Bearer"}


class Forbidden(Problem):
    """Your role does not allow this."""

    status = 403


class NotFound(Problem):
    """There is nothing here, or it is not yours."""

    status = 404


class MethodNotAllowed(Problem):
    """This path does not take that method; the header Allow lists those it takes."""

    status = 405


class Conflict(Problem):
    """The request conflicts with what is stored."""

    status = 409


class PayloadTooLarge(Problem):
    """The request's body is too large; send less at once."""

    status = 413


class UnsupportedMediaType(Problem):
    """Send the body as JSON, with the header `Content-Type: application/json`."""

    status = 415


class Invalid(Problem):
    """Some values are not valid; `errors` lists them."""

    status = 422

    @classmethod
    def field(cls, path: str, message: str) -> Invalid:
        return cls(errors=[FieldError(path, message)])


class TooManyRequests(Problem):
    """Too many attempts; wait for as many seconds as Retry-After says."""

    status = 429

    def __init__(self, detail: str | None = None, *, retry_after_seconds: int = 1) -> None:
        super().__init__(detail)
        self.headers = {"Retry-After": str(retry_after_seconds)}


class Unavailable(Problem):
    """A database this request needs is away, or the service is saturated; try again."""

    status = 503

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail)
        self.headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}


BY_STATUS: dict[int, type[Problem]] = {
    error.status: error
    for error in (
        BadRequest,
        Unauthenticated,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        Conflict,
        PayloadTooLarge,
        UnsupportedMediaType,
        Invalid,
        TooManyRequests,
        Unavailable,
    )
}

# HTTPStatus's own phrases for these differ between Python versions.
TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}

# Where a constraint of ours is what tells the client: the constraint, the field, the message.
CONSTRAINTS: dict[str, Problem] = {
    "idx_users_username": Conflict("This username is taken; choose another."),
    "idx_users_email": Conflict("This e-mail address is in use; choose another."),
    "idx_tenants_name": Conflict("This tenant name is taken; choose another."),
}


def problem_response(request: Request[Any, Any, Any], error: Exception) -> Response[ProblemDetails]:
    """The service's only exception handler."""
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


def to_problem(error: BaseException) -> Problem:
    match error:
        case Problem():
            return error
        case NotFoundError():
            return NotFound()
        case ValidationException():
            return _from_validation(error)
        case HTTPException():
            return _from_framework(error)
        case msgspec.ValidationError():
            return Invalid(errors=[_field_error(str(error))])
        case msgspec.DecodeError() | UnicodeDecodeError():
            return BadRequest()
        case _:
            return _from_database(error)


def _from_framework(error: HTTPException) -> Problem:
    problem = BY_STATUS.get(error.status_code, Problem)()
    problem.headers |= error.headers or {}
    return problem


def _from_validation(error: ValidationException) -> Problem:
    """Query and path parameters; bodies are decoded by msgspec alone (see server.JsonRequest)."""
    entries = cast("list[dict[str, str]]", error.extra or [])
    if any(entry.get("key") == "data" for entry in entries):
        return BadRequest("This request needs a JSON body.")
    return Invalid(errors=[FieldError(e.get("key", ""), e.get("message", "")) for e in entries])


def _field_error(text: str) -> FieldError:
    """msgspec ends its messages in ` - at `$.path`` unless the fault is the whole body's."""
    message, _, path = text.partition(" - at `$")
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", message)
    where = path.rstrip("`").lstrip(".")
    if unknown:
        where = f"{where}.{unknown[1]}".lstrip(".")
    return FieldError(where, message)


def _from_database(error: BaseException) -> Problem:
    state, constraint = sqlstate(error)
    if constraint in CONSTRAINTS:
        return CONSTRAINTS[constraint]
    if state is None:
        return Unavailable() if is_connection_loss(error) else Problem()
    return _from_sqlstate(state)


def _from_sqlstate(state: str) -> Problem:
    """23505 and 23503 are conflicts; other 23 and 22 are values the columns refuse."""
    match state[:2]:
        case "23" if state in ("23505", "23503"):
            return Conflict()
        case "22" | "23":
            return Invalid("A value cannot be stored; check the length and characters you sent.")
        case "08" | "40" | "53" | "55" | "57" | "58":
            return Unavailable()
        case _:
            return Problem()
