"""HEAD is answered wherever GET is, and a path names the methods it takes."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from litestar.routes import HTTPRoute

if TYPE_CHECKING:
    from litestar.types import ASGIApp, HTTPResponseStartEvent, Message, Receive, Scope, Send


def head_as_get(app: ASGIApp) -> ASGIApp:
    """Answers HEAD with what GET would say of itself, and without its body."""

    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        # A copy, since the server looks at its own for whether the answer may have a body.
        outer = cast("dict[str, Any]", scope)
        inner = cast("Any", {**outer, "method": "GET"})
        try:
            await app(inner, receive, without_body)
        finally:
            outer.update({**inner, "method": "HEAD"})  # route and caller, for the log

    return answered


def with_allowed(message: HTTPResponseStartEvent, scope: Scope) -> None:
    """Completes `Allow`: Litestar knows nothing of HEAD, and its OPTIONS of one handler only."""
    status, own = message["status"], message["headers"]
    is_list = status == HTTPStatus.NO_CONTENT and _is_options(scope)
    if not is_list and status != HTTPStatus.METHOD_NOT_ALLOWED:
        return
    named = {one.strip() for name, value in own if name == b"allow" for one in value.split(b",")}
    allowed = named | _methods(scope) if is_list else named
    if b"GET" in allowed:
        allowed.add(b"HEAD")
    others = [header for header in own if header[0] != b"allow"]
    message["headers"] = [*others, (b"allow", b", ".join(sorted(allowed)))]


def _is_options(scope: Scope) -> bool:
    """A preflight has no route."""
    return scope["type"] == "http" and scope["method"] == "OPTIONS" and "path_template" in scope


def _methods(scope: Scope) -> set[bytes]:
    template = scope["path_template"]
    routes = [route for route in scope["litestar_app"].routes if isinstance(route, HTTPRoute)]
    methods: set[str] = {m for one in routes if one.path_format == template for m in one.methods}
    return {method.encode() for method in methods}
