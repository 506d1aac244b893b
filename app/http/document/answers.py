"""An operation's answers: errors follow from its shape, and headers from the status."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from itertools import chain
from typing import NamedTuple

from litestar.openapi.spec import (
    OpenAPIHeader,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Reference,
    Schema,
)
from msgspec import to_builtins

from app.http.errors import Invalid
from app.http.problems import BY_STATUS, PROBLEM_JSON, problem_details
from app.http.security import PUBLIC

Answer = OpenAPIResponse | Reference
PROBLEM = Reference("#/components/schemas/ProblemDetails")
HEADER = "#/components/headers/"
DONE = {
    "200": "Done.",
    "201": "Created.",
    "202": "Accepted: the account is gone, and its conversations are erased next.",
    "204": "Done; the answer has no body.",
}


class Header(NamedTuple):
    description: str
    example: str | int
    type: OpenAPIType = OpenAPIType.STRING


# An operation that sends one of these with success only names it in its `response_headers`.
HEADERS = {
    "X-Request-Id": Header(
        "This request's name in the service's log; quote it when you report an error.",
        "019a3f5e7c1b7d3c9b1f2a4d5e6f7a8b",
    ),
    "Location": Header(
        "Where to read how far it is.", "/v1/erasures/019a3f5e-7c1b-7d3c-9b1f-2a4d5e6f7a8b"
    ),
    "ETag": Header(
        "Names the conversation's present state; send it in `If-Match` to write only if nobody "
        "was faster.",
        '"12-1764170000123456"',
    ),
    "Retry-After": Header("Seconds to wait before the next try.", 1, OpenAPIType.INTEGER),
    "WWW-Authenticate": Header("The scheme to authenticate with.", "Bearer"),
}


def complete_answers(operation: Operation) -> None:
    answers = operation.responses or {}
    own = {status for status, answer in answers.items() if _is_problem(answer)}
    problems = own.union(map(str, _errors_that_follow(operation)))
    # Litestar's own 400, where there is input, has a shape of its own.
    others = {status: one for status, one in answers.items() if status not in {*problems, "400"}}
    completed = {status: _problem(int(status)) for status in problems} | others
    operation.responses = dict(sorted(completed.items()))
    for status, answer in operation.responses.items():
        if isinstance(answer, OpenAPIResponse):
            _complete(status, answer)


def headers_of(operation: Operation) -> set[str]:
    answers = (operation.responses or {}).values()
    headers = (one.headers or () for one in answers if isinstance(one, OpenAPIResponse))
    return set(chain.from_iterable(headers))


def header_components(names: set[str]) -> dict[str, OpenAPIHeader | Reference]:
    return {
        name: OpenAPIHeader(
            schema=Schema(type=header.type, examples=[header.example]),
            description=header.description,
        )
        for name, header in HEADERS.items()
        if name in names
    }


def _complete(status: str, answer: OpenAPIResponse) -> None:
    if answer.description in (HTTPStatus(int(status)).description, "Stream Response"):
        answer.description = DONE[status]
    if status == "204":
        answer.content = None  # a handler that sends headers with it has a response of None
    names = {*(answer.headers or ()), *_headers_that_follow(status)}
    if unknown := names - HEADERS.keys():
        raise ValueError(f"the document does not say what {unknown} is; see HEADERS")
    answer.headers = {name: Reference(HEADER + name) for name in HEADERS if name in names} or None


def _headers_that_follow(status: str) -> Iterator[str]:
    if status != "431":  # refused before it is a request
        yield "X-Request-Id"
    match status:
        case "202":
            yield "Location"
        case "401":
            yield "WWW-Authenticate"
        case "412":
            yield "ETag"
        case "429" | "503":
            yield "Retry-After"
        case _:
            pass


def _is_problem(answer: Answer) -> bool:
    return isinstance(answer, OpenAPIResponse) and PROBLEM_JSON in (answer.content or {})


def _errors_that_follow(operation: Operation) -> Iterator[int]:
    yield 431
    if operation.request_body:
        yield from (400, 408, 413, 415)
    if operation.request_body or operation.parameters:
        yield 422
    if operation.security != PUBLIC:
        yield from (401, 429, 503)


def _problem(status: int) -> OpenAPIResponse:
    error = BY_STATUS[status]
    problem = Invalid.field("limit", "Expected `int` <= 100") if error is Invalid else error()
    content = OpenAPIMediaType(schema=PROBLEM, example=to_builtins(problem_details(problem)))
    return OpenAPIResponse(description=str(problem), content={PROBLEM_JSON: content})
