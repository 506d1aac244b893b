"""Pages of other origins (CORS): Litestar's own middleware, told what this API sends and takes."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from litestar.config.cors import CORSConfig

from app.config.request_settings import split
from app.http.errors import BadRequest
from app.http.problems import asgi_messages

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Message, Receive, Scope, Send

    from app.config.settings import Settings

NOT_ALLOWED = "Pages of this origin may not make such a request; see CORS_ALLOWED_ORIGINS."
SENT = [
    *("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "On-Behalf-Of"),
    *("traceparent", "tracestate", "X-Request-Id"),
]
READ = [
    *("Allow", "ETag", "Location", "Retry-After", "WWW-Authenticate"),
    *("X-Request-Id", "X-Should-Retry", "traceresponse"),
]


def cors_config(settings: Settings) -> CORSConfig | None:
    """None: no page of another origin can read an answer."""
    origins = split(settings.cors_allowed_origins)
    if not origins:
        return None
    return CORSConfig(
        allow_origins=origins,
        allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=SENT,
        expose_headers=READ,
    )


def explain_refusals(cors: ASGIApp) -> ASGIApp:
    """Litestar refuses a preflight with a line of plain text; this answers a problem instead."""

    async def explained(scope: Scope, receive: Receive, send: Send) -> None:
        problem: list[Message] = []

        async def answer(message: Message) -> None:
            if message.get("status") == HTTPStatus.BAD_REQUEST:
                problem.extend(asgi_messages(BadRequest(NOT_ALLOWED)))
            await send(problem.pop(0) if problem else message)

        await cors(scope, receive, answer if _is_preflight(scope) else send)

    return explained


def _is_preflight(scope: Scope) -> bool:
    """Litestar takes each of these for one; nothing behind its middleware sees it."""
    if scope["type"] != "http" or scope["method"] != "OPTIONS":
        return False
    return any(name == b"origin" for name, _ in scope["headers"])
