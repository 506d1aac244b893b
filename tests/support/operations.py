"""The operations of the service's OpenAPI document, read without any database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from litestar import Litestar
from litestar.openapi.spec import OpenAPI

from app.config.settings import Settings
from app.server import create_app

METHODS = ("get", "post", "put", "patch", "delete")


class Operation(NamedTuple):
    id: str
    method: str
    path: str


def operations(document: OpenAPI) -> Iterator[Operation]:
    for path, item in (document.paths or {}).items():
        for method in METHODS:
            operation = getattr(item, method)
            if operation is not None:
                yield Operation(operation.operation_id, method, path)


def unconnected() -> Litestar:
    urls = {f"database_url_{name}": f"postgresql://u@h/{name}" for name in ("user", "general")}
    return create_app(Settings.model_validate(urls))


OPERATIONS = {operation.id: operation for operation in operations(unconnected().openapi_schema)}
