"""Every request is held to some rules, beside what its handler asks for; every answer is completed.

Whoever gives the answer, it bears the headers that every answer bears.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

import msgspec
from litestar import Litestar, Request, Response
from litestar.exceptions import InternalServerException

from app.config.settings import Settings
from app.http.errors import BadRequest, Invalid, Problem, UnsupportedMediaType
from app.http.paging import EPOCH, MICROSECOND
from app.http.parameters import check_parameters
from app.http.problems import encoded
from app.http.words import explain

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from litestar.types import ASGIApp, HTTPResponseStartEvent, Receive, Scope, Send

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
JSON = (b"content-type", b"application/json")

# A second way to decode a body that msgspec does not take for JSON.
OTHERWISE = "decode_otherwise"
TOO_DEEP = "The request's body nests lists or objects too deeply."


def with_whole_segments(app: ASGIApp) -> ASGIApp:
    """Wrap the whole application, so that a parameter of a path may hold a slash, sent as `%2F`.

    Servers decode a path before Litestar takes it apart at its slashes. Here each segment keeps its
    `/` and `%` encoded, and `check_request` decodes the parameters.
    """

    def whole(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and b"%2" in (raw_path := scope["raw_path"]):
            scope["path"] = "/".join(map(_segment, raw_path.decode("ascii").split("/")))
        return app(scope, receive, send)

    return whole


def _segment(sent: str) -> str:
    return unquote(sent).replace("%", "%25").replace("/", "%2F")


def _decoded(parameter: Any) -> Any:
    return unquote(parameter) if isinstance(parameter, str) else parameter


class JsonRequest(Request[Any, Any, Any]):
    """Decodes a body straight into the handler's struct, strictly: `"1"` is no number."""

    _whole: bytes | None = None

    async def body(self) -> bytes:
        """Returns the body, which the gate hands on in one piece.

        It is without the byte-order mark that some clients put before JSON.
        """
        if self._whole is not None:
            return self._whole
        message: Any = await self.receive()
        if message["type"] != "http.request":
            raise InternalServerException("The client has gone.")
        whole: bytes = message["body"].removeprefix(codecs.BOM_UTF8)
        self._whole = whole
        return whole

    async def json(self) -> Any:
        """Raises Invalid, and msgspec.DecodeError for what is not JSON."""
        field = self.route_handler.parsed_data_field
        if field is None:
            return await super().json()
        try:
            return self._read(await self.body(), field.annotation)
        except msgspec.ValidationError as error:
            raise Invalid(errors=[explain(str(error), field.annotation)]) from None
        except RecursionError:
            raise BadRequest(TOO_DEEP) from None

    def _read(self, body: bytes, shape: Any) -> Any:
        try:
            return msgspec.json.decode(body, type=shape)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            if otherwise := self.route_handler.opt.get(OTHERWISE):
                return otherwise(body, shape)
            raise


async def check_request(request: Request[Any, Any, Any]) -> None:
    """Raises UnsupportedMediaType, and Invalid for parameters that the route does not have."""
    if "%" in request.scope["path"]:  # not in place: Litestar keeps these for the next request
        sent = request.scope["path_params"].items()
        request.scope["path_params"] = {name: _decoded(value) for name, value in sent}
    if request.route_handler.parsed_data_field is not None and _has_body(request):
        _check_media(request)
    if request.scope["query_string"]:
        check_parameters(request)


def _has_body(request: Request[Any, Any, Any]) -> bool:
    return (
        request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    )


def _check_media(request: Request[Any, Any, Any]) -> None:
    """Litestar would take any body for JSON whatever its headers say."""
    is_plainly = request.headers.get("content-type") == "application/json"
    if not is_plainly and request.content_type[0] != "application/json":
        raise UnsupportedMediaType
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body as it is, without a Content-Encoding.")


class Answer(Response[T]):
    """A JSON answer, as nearly every route gives it.

    Litestar's own looks for cookies, encoders, background tasks and headers of the route, of which
    there are none: 700 bytecodes, a tenth of all that a short request takes.
    """

    __slots__ = ()

    def __init__(
        self, content: T, headers: dict[str, str] | None = None, status_code: int | None = None
    ) -> None:
        self.content, self.headers, self.status_code = content, headers or {}, status_code
        self.background = self.media_type = None
        self.cookies, self.response_type_encoders, self.encoding = [], {}, "utf-8"

    def to_asgi_response(  # type: ignore[override]  # Litestar only calls what it gets
        self, app: Litestar | None, request: Request[Any, Any, Any], **of_route: Any
    ) -> ASGIApp:
        content: Any = self.content
        body = content if type(content) is bytes else msgspec.json.encode(content)
        headers = [(name.lower().encode(), one.encode()) for name, one in self.headers.items()]
        headers += (JSON, (b"content-length", b"%d" % len(body)))
        status = self.status_code or of_route["status_code"]

        async def answer(_: Scope, __: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body, "more_body": False})

        return answer


def response(answer: T | bytes, headers: dict[str, str] | None = None) -> Answer[T]:
    """Answer with the bytes of a stored answer, too: they are the JSON that the route documents."""
    content: Any = answer
    return Answer(content, headers)


def finishing(
    settings: Settings, is_stopping: Callable[[], bool]
) -> Callable[[HTTPResponseStartEvent, Scope], None]:
    """Make what finishes each answer of a service with these settings.

    No cache on the way may keep an answer of the API, an error included. While the process stops,
    each answer asks its client to connect anew.
    """
    everywhere, root_path = _of_service(settings), settings.root_path.encode()
    of_the_api = [*everywhere, NO_STORE]

    def finish(message: HTTPResponseStartEvent, scope: Scope) -> None:
        added = of_the_api if scope["path"].startswith("/v1/") else everywhere
        own = completed(list(message["headers"]), added)
        if is_stopping():
            own.append(CLOSE)
        message["headers"] = _under(root_path, own) if root_path else own

    return finish


def completed(own: Headers, added: Headers) -> Headers:
    """Complete an answer's own headers; where it brings one of these itself, its own stands."""
    theirs, ours = dict(own), dict(added)
    if ours.keys().isdisjoint(theirs):
        return own + added
    return own + [header for header in added if header[0] not in theirs]


def written(problem: Problem) -> bytes:
    """Write a problem where there is no application yet that could answer."""
    own, body = encoded(problem)
    status = f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\n".encode()
    lines = [name + b": " + value + b"\r\n" for name, value in completed(own, ALWAYS)]
    return b"".join([status, *lines, b"\r\n", body])


def etag(version: int, changed_at: datetime) -> str:
    """Name the state of what changes by versions; see chat/etags.py."""
    return f'"{version}-{(changed_at - EPOCH) // MICROSECOND}"'


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
