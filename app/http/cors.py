"""A page of another origin asks first; told no, it is told so as everybody else is."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

from app.http.errors import BadRequest
from app.http.problems import PROBLEM_JSON, problem_details

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Message, Receive, Scope, Send

NOT_ALLOWED = "Pages of this origin may not make such a request; see CORS_ALLOWED_ORIGINS."


def explain_refusals(cors: ASGIApp) -> ASGIApp:
    """Around Litestar's CORS, whose own refusal of a preflight is a line of plain text."""

    async def explained(scope: Scope, receive: Receive, send: Send) -> None:
        if not _is_preflight(scope):
            await cors(scope, receive, send)
            return
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await cors(scope, receive, keep)
        is_refused = messages[0].get("status") == HTTPStatus.BAD_REQUEST
        for message in _refusal() if is_refused else messages:
            await send(message)

    return explained


def _is_preflight(scope: Scope) -> bool:
    """As Litestar sees it: nothing behind its CORS answers one."""
    if scope["type"] != "http" or scope["method"] != "OPTIONS":
        return False
    return any(name == b"origin" for name, _ in scope["headers"])


def _refusal() -> list[Message]:
    problem = BadRequest(NOT_ALLOWED)
    body = msgspec.json.encode(problem_details(problem))
    headers = {"content-type": PROBLEM_JSON, "content-length": str(len(body))}
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    return [
        {"type": "http.response.start", "status": problem.status, "headers": encoded},
        {"type": "http.response.body", "body": body, "more_body": False},
    ]
