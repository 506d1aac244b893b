"""This serves the OpenAPI document at /schema/openapi.json and the explorer at /schema.

Litestar writes most of the document. This module adds the errors that follow from what an operation
is, names that do not move, and a page whose scripts and styles come from us alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from litestar import Request, Router
from litestar.datastructures import CacheControlHeader, ResponseHeader
from litestar.handlers.http_handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.openapi.spec import (
    Components,
    OpenAPI,
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    PathItem,
    Reference,
    RequestBody,
    Responses,
    Schema,
    SecurityRequirement,
    SecurityScheme,
)
from litestar.static_files import (
    create_static_files_router,  # pyright: ignore[reportUnknownVariableType]  # bare generics
)
from litestar.types import Method
from litestar.types.internal_types import PathParameterDefinition

from app.http.problems import BY_STATUS, PROBLEM_JSON, ProblemDetails, problem_details
from app.http.security import PUBLIC

OURS = Path(__file__).parent / "explorer"

BEARER: list[SecurityRequirement] = [{"bearer": []}]

# The browser itself refuses another host, whatever the page asks for.
POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "frame-ancestors 'none'"
)


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """Declare an operation's own errors; `complete` adds those that follow from its shape."""
    spec = ResponseSpec(ProblemDetails, generate_examples=False, media_type=PROBLEM_JSON)
    return dict.fromkeys(statuses, spec)


def openapi_config(version: str) -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Bicameral",
        version=version,
        description="Tenants, users, chat sessions and messages. Log in, press Authorize, try it.",
        components=Components(security_schemes={"bearer": SecurityScheme("http", scheme="bearer")}),
        security=BEARER,
        servers=[],
        use_handler_docstrings=True,
        operation_id_creator=_handler_name,
        render_plugins=[Explorer(path="/"), JsonRenderPlugin()],
        openapi_router=_router(),
    )


def complete(openapi: OpenAPI) -> None:
    """Complete, once and in place, the document that Litestar wrote."""
    schemas = openapi.components.schemas
    for operation in _operations(openapi):
        if isinstance(operation.request_body, RequestBody):
            _complete_body(operation.request_body, schemas)
        operation.summary, operation.description = _described(operation)
        operation.responses = dict(sorted((_errors(operation) | _answers(operation)).items()))
        if operation.security == PUBLIC:
            operation.security = []


class Explorer(OpenAPIRenderPlugin):
    """Serves Swagger UI. Litestar's plugin names other hosts and inlines the document unescaped."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return (OURS / "index.html").read_bytes()


def _router() -> Router:
    static = create_static_files_router(
        "/static",
        [OURS, _swagger_ui()],
        name="explorer",
        cache_control=CacheControlHeader(max_age=3600),
    )
    policy = ResponseHeader(name="content-security-policy", value=POLICY)
    return Router(
        "/schema", route_handlers=[static], include_in_schema=False, response_headers=[policy]
    )


def _swagger_ui() -> Path:
    """Find the package's folder without importing it, which would import Flask."""
    spec = find_spec("flask_swagger_ui")
    if spec is None or spec.origin is None:
        raise RuntimeError("the package flask-swagger-ui is missing")
    return Path(spec.origin).parent / "dist"


def _handler_name(
    handler: HTTPRouteHandler, _: Method, __: list[str | PathParameterDefinition]
) -> str:
    """Name an operation after its handler: unlike the default, that survives a change of path."""
    return handler.handler_name


def _operations(openapi: OpenAPI) -> Iterator[Operation]:
    for path in (openapi.paths or {}).values():
        yield from _of_path(path)


def _of_path(path: PathItem) -> Iterator[Operation]:
    for operation in (path.get, path.post, path.put, path.patch, path.delete):
        if operation:
            yield operation


def _described(operation: Operation) -> tuple[str | None, str | None]:
    """Split a docstring: its first line is what the page lists."""
    first, _, rest = (operation.description or operation.summary or "").partition("\n\n")
    return first or None, rest or None


def _complete_body(body: RequestBody, schemas: dict[str, Schema]) -> None:
    """A body that may be null may be left out; a field that is not named is refused."""
    media = body.content["application/json"]
    if isinstance(media.schema, Schema):
        body.required = not media.schema.one_of
    for name in _named_in(media.schema, schemas):
        schemas[name].additional_properties = False


def _named_in(schema: Schema | Reference | None, schemas: dict[str, Schema]) -> Iterator[str]:
    """Yield the components that a schema consists of, through lists and alternatives."""
    if isinstance(schema, Reference):
        name = schema.ref.rpartition("/")[2]
        yield from [name] if schemas[name].properties else []
        fields = (schemas[name].properties or {}).values()
        yield from (name for field in fields for name in _named_in(field, schemas))
    elif schema is not None:
        inner = [*(schema.one_of or []), schema.items]
        yield from (name for one in inner for name in _named_in(one, schemas))


def _errors(operation: Operation) -> Responses:
    answers = (operation.responses or {}).items()
    own = {int(status) for status, answer in answers if _is_problem(answer)}
    return {str(status): _problem(status) for status in own.union(_errors_that_follow(operation))}


def _answers(operation: Operation) -> Responses:
    """Return what is no problem, less the 400 of its own shape that Litestar adds for any input."""
    answers = (operation.responses or {}).items()
    return {
        status: answer for status, answer in answers if status != "400" and not _is_problem(answer)
    }


def _is_problem(answer: OpenAPIResponse | Reference) -> bool:
    return isinstance(answer, OpenAPIResponse) and PROBLEM_JSON in (answer.content or {})


def _errors_that_follow(operation: Operation) -> Iterator[int]:
    if operation.security != PUBLIC:
        yield from (401, 503)
    if operation.request_body:
        yield from (400, 413, 415)
    if operation.request_body or operation.parameters:
        yield 422


def _problem(status: int) -> OpenAPIResponse:
    details = problem_details(BY_STATUS[status]())
    example = {"type": "about:blank", "title": details.title, "status": status}
    content = OpenAPIMediaType(
        schema=Reference(ref="#/components/schemas/ProblemDetails"),
        example=example | {"detail": details.detail},
    )
    return OpenAPIResponse(description=details.title, content={PROBLEM_JSON: content})
