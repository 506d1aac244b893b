"""An answer is finished here, whoever gives it: it bears the headers that every answer bears."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from litestar import Response

from app.config.settings import Settings
from app.http.errors import Problem
from app.http.problems import encoded

if TYPE_CHECKING:
    from litestar.types import HTTPResponseStartEvent, Scope

T = TypeVar("T")
Headers = list[tuple[bytes, bytes]]

ALWAYS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),  # for browsers that know no frame-ancestors
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]
NO_STORE = (b"cache-control", b"no-store")
CLOSE = (b"connection", b"close")


def finishing(
    settings: Settings, is_stopping: Callable[[], bool]
) -> Callable[[HTTPResponseStartEvent, Scope], None]:
    """Make what finishes each answer of a service with these settings.

    No cache on the way may keep an answer of the API, an error included. While the process stops,
    each answer asks its client to connect anew.
    """
    everywhere, root_path = _of_service(settings), settings.root_path.encode()

    def finish(message: HTTPResponseStartEvent, scope: Scope) -> None:
        added = [*everywhere, NO_STORE] if scope["path"].startswith("/v1/") else everywhere
        own = completed(list(message["headers"]), added)
        if is_stopping():
            own.append(CLOSE)
        message["headers"] = _under(root_path, own) if root_path else own

    return finish


def completed(own: Headers, added: Headers) -> Headers:
    """Complete an answer's own headers; where it brings one of these itself, its own stands."""
    theirs = {name for name, _ in own}
    return [*own, *(header for header in added if header[0] not in theirs)]


def written(problem: Problem) -> bytes:
    """Write a problem where there is no application yet that could answer."""
    own, body = encoded(problem)
    status = f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\n".encode()
    lines = [name + b": " + value + b"\r\n" for name, value in completed(own, ALWAYS)]
    return b"".join([status, *lines, b"\r\n", body])


def response(answer: T | bytes, headers: dict[str, str] | None = None) -> Response[T]:
    """Answer with the bytes of a stored answer, too: they are the JSON that the route documents."""
    content: Any = answer
    return Response(content, headers=headers)


def _under(root_path: bytes, own: Headers) -> Headers:
    """Put the prefix that a proxy shows the service under before each `Location`."""
    return [(n, root_path + v if n == b"location" and v[:1] == b"/" else v) for n, v in own]


def _of_service(settings: Settings) -> Headers:
    found = [*ALWAYS]
    if settings.hsts_seconds:
        value = f"max-age={settings.hsts_seconds}; includeSubDomains"
        found.append((b"strict-transport-security", value.encode()))
    if settings.cors_allowed_origins:
        found.append((b"vary", b"Origin"))  # a cache must not give one origin's answer to another
    return found
