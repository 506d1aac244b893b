"""The explorer at /schema: Scalar's reference, and a bar to log in, from this service alone."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from litestar import Litestar, Request, Response, Router, get
from litestar.datastructures import ResponseHeader
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.params import FromPath
from litestar.serialization import encode_json
from litestar.status_codes import HTTP_307_TEMPORARY_REDIRECT, HTTP_404_NOT_FOUND

from app.http.errors import NotFound
from app.http.explorer.files import MEDIA_TYPES, Constant, choose, packed_file
from app.http.security import PUBLIC

OURS = Path(__file__).parent

# The browser itself refuses another host, whatever the page asks for.
POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "frame-ancestors 'none'"
)


class Page(OpenAPIRenderPlugin):
    """Serves the page. Litestar's plugin names other hosts and inlines the document unescaped."""

    def __init__(self, root_path: str) -> None:
        super().__init__(path="/")
        text = (OURS / "index.html").read_text(encoding="utf-8")
        self._page = text.replace("{root}", escape(root_path)).encode()

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return self._page


class Document(JsonRenderPlugin):
    """Writes the document once, when it is first asked for: a start need not wait for it."""

    def __init__(self, complete: Callable[[Litestar], dict[str, Any]]) -> None:
        super().__init__()
        self._complete = complete
        self._written = b""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        self._written = self._written or encode_json(self._complete(request.app))
        return self._written


@get("/", security=PUBLIC, include_in_schema=False)
async def lead_to_explorer() -> Response[bytes]:
    """Lead whoever opens the service's address to the page; relative, for a proxy's prefix."""
    where = {"Location": "schema"}
    return Response(
        b"", status_code=HTTP_307_TEMPORARY_REDIRECT, media_type="text/plain", headers=where
    )


def explorer_router() -> Router:
    return Router(
        "/schema",
        route_handlers=[get_file],
        response_class=Constant,
        after_request=_explain_absence,
        response_headers=[ResponseHeader(name="content-security-policy", value=POLICY)],
        include_in_schema=False,
    )


async def _explain_absence(response: Response[Any]) -> Response[Any]:
    """Litestar answers a path below this one, where nothing is, with a page of its own."""
    if response.status_code == HTTP_404_NOT_FOUND:
        raise NotFound
    return response


@get("/static/{name:str}", sync_to_thread=True)  # a file is compressed when it is first asked for
def get_file(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
    path = FILES.get(name)
    if path is None:
        raise NotFound
    return choose(request, packed_file(path), MEDIA_TYPES[path.suffix])


def _scalar() -> Path:
    """Find the package's file without importing it, which would import Flask."""
    spec = find_spec("flask_openapi_scalar")
    if spec is None or spec.origin is None:
        raise RuntimeError("the package flask-openapi-scalar is missing")
    return Path(spec.origin).parent / "templates" / "scalar" / "js" / "scalar.standalone.js"


FILES = {
    path.name: path
    for path in (OURS / "explorer.css", OURS / "explorer.js", OURS / "favicon.svg", _scalar())
}
