"""This serves the OpenAPI document at /schema/openapi.json and the explorer at /schema.

Litestar writes most of the document. This module adds errors and headers that follow from what an
operation is, names that do not move, an order, and a page whose scripts and styles come from us
alone.
"""

from __future__ import annotations

from typing import Any

from litestar import Litestar
from litestar.handlers.http_handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.spec import (
    Components,
    Contact,
    License,
    OpenAPIResponse,
    Operation,
    Parameter,
    RequestBody,
    SecurityRequirement,
    SecurityScheme,
    Server,
    Tag,
)
from litestar.types import Method
from litestar.types.internal_types import PathParameterDefinition

from app.http.document.answers import complete_answers, header_components, headers_of
from app.http.document.operations import describe, operations, put_in_order
from app.http.document.schemas import Schemas, is_nullable, without_null
from app.http.explorer.page import Document, Page, explorer_router
from app.http.problems import PROBLEM_JSON, ProblemDetails
from app.http.security import PUBLIC

BEARER: list[SecurityRequirement] = [{"bearer": []}]
ABOUT = """\
Tenants, their users, and what those users said: chat sessions and their messages.

- **Log in** with `POST /v1/auth/login`, and send the token with every other request, in the header
  `Authorization: Bearer …`.
- **Lists come in pages**: `next` of one page is `after` of the following one, and null on the last.
- **Retries are safe**: a POST that creates may bear an `Idempotency-Key`; sent again, it creates
  nothing twice.
- **Errors** are `application/problem+json` (RFC 9457). A success has been committed."""

# In the order in which one needs them.
TAGS = {
    "auth": "Log in for an access token, and end it.",
    "me": "Your own account: read it, change its password, delete it.",
    "chat": "Your conversations and their messages; nobody else can read them.",
    "conversations": "Your conversations again, as OpenAI's clients speak of them.",
    "export": "All there is about a person, from both databases, line by line.",
    "users": "A tenant's users, for its administrators.",
    "tokens": "Tokens of a person's devices: list and end your own, mint them for your users.",
    "api keys": "Keys for a product's backend, for a tenant's administrators.",
    "erasures": "What became of the conversations of users who were deleted, with receipts.",
    "holds": "What the law forbids to delete, for administrators.",
    "audit": "Who did what to whom, in ids alone, for administrators.",
    "tenants": "Who shares the service, for platform administrators.",
    "health": "What a load balancer or an orchestrator asks.",
}


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """Declare an operation's own errors; `complete` adds those that follow from its shape."""
    spec = ResponseSpec(ProblemDetails, generate_examples=False, media_type=PROBLEM_JSON)
    return dict.fromkeys(statuses, spec)


def openapi_config(version: str, root_path: str = "") -> OpenAPIConfig:
    """`root_path` is the prefix under which clients reach the service, behind a proxy."""
    return OpenAPIConfig(
        title="Bicameral",
        version=version,
        description=ABOUT,
        contact=Contact(name="The Bicameral authors"),
        license=License(name="MIT License", identifier="MIT"),
        components=Components(security_schemes={"bearer": SecurityScheme("http", scheme="bearer")}),
        security=BEARER,
        servers=[Server(url=root_path or "/")],
        tags=[Tag(name=name, description=description) for name, description in TAGS.items()],
        use_handler_docstrings=True,
        operation_id_creator=_handler_name,
        render_plugins=[Page(root_path), Document(complete)],
        openapi_router=explorer_router(),
    )


def complete(app: Litestar) -> dict[str, Any]:
    """Complete, once and in place, the document that Litestar wrote, and return it as JSON."""
    openapi = app.openapi_schema
    schemas = Schemas(openapi.components.schemas)
    put_in_order(openapi, app.routes)
    headers: set[str] = set()
    for operation in operations(openapi):
        describe(operation)
        complete_answers(operation)
        _complete_input(operation, schemas)
        _mend_answers(operation, schemas)
        headers |= headers_of(operation)
        if operation.security == PUBLIC:
            operation.security = []
    schemas.sort()
    openapi.components.headers = header_components(headers)
    return openapi.to_schema()


def _handler_name(
    handler: HTTPRouteHandler, method: Method, _: list[str | PathParameterDefinition]
) -> str:
    """Name an operation after its handler: unlike the default, that survives a change of path."""
    return handler.handler_name if method != "HEAD" else f"head_{handler.handler_name}"


def _complete_input(operation: Operation, schemas: Schemas) -> None:
    for parameter in operation.parameters or ():
        if isinstance(parameter, Parameter) and parameter.schema:
            parameter.schema = schemas.mended(without_null(parameter.schema))
    if isinstance(operation.request_body, RequestBody):
        _complete_body(operation.request_body, schemas)


def _complete_body(body: RequestBody, schemas: Schemas) -> None:
    """A body that may be null may be left out."""
    media = body.content["application/json"]
    if media.schema:
        body.required = not is_nullable(media.schema)
        media.schema = schemas.mended(without_null(media.schema))
        schemas.close(media.schema)


def _mend_answers(operation: Operation, schemas: Schemas) -> None:
    for answer in (operation.responses or {}).values():
        for media in (answer.content or {}).values() if isinstance(answer, OpenAPIResponse) else ():
            if media.schema:
                media.schema = schemas.mended(media.schema)
