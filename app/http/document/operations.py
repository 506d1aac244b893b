"""The document's operations: in the order of use, each with its words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from litestar.openapi.spec import OpenAPI, Operation, PathItem
from litestar.routes import BaseRoute, HTTPRoute

METHODS = ("post", "get", "put", "patch", "delete")
Place = tuple[int, int, int]


def operations(openapi: OpenAPI) -> Iterator[Operation]:
    for item in (openapi.paths or {}).values():
        yield from _of_path(item)


def put_in_order(openapi: OpenAPI, routes: Sequence[BaseRoute]) -> None:
    """Groups as the document's tags list them; a group's controllers as the application does."""
    groups = [tag.name for tag in openapi.tags or ()]
    lines = dict(_lines(routes))

    def place(entry: tuple[str, PathItem]) -> Place:
        return min(
            (groups.index((one.tags or [""])[0]), *lines[one.operation_id or ""])
            for one in _of_path(entry[1])
        )

    paths = sorted((openapi.paths or {}).items(), key=place)
    openapi.paths = {path: MadeThenRead(**vars(item) | {"head": None}) for path, item in paths}


def describe(operation: Operation) -> None:
    """A docstring's first line is what the page lists; the others are read when it is opened."""
    first, _, rest = (operation.description or operation.summary or "").partition("\n\n")
    operation.summary = first.removesuffix(".") or None
    operation.description = rest or None


@dataclass
class MadeThenRead(PathItem):
    """A path whose operations are written in the order of METHODS, not Litestar's."""

    def to_schema(self) -> dict[str, Any]:
        written = super().to_schema()
        return {name: written[name] for name in (*METHODS, *written) if name in written}


def _of_path(item: PathItem) -> Iterator[Operation]:
    for method in METHODS:
        operation: Operation | None = getattr(item, method)
        if operation:
            yield operation


def _lines(routes: Sequence[BaseRoute]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Litestar sorts a controller's handlers by name; their source has them in their order."""
    files: dict[str, int] = {}
    for route in routes:
        for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
            if handler.resolve_include_in_schema():
                code = handler.fn.__code__  # a plain function's
                file = files.setdefault(code.co_filename, len(files))
                yield handler.handler_name, (file, code.co_firstlineno)
