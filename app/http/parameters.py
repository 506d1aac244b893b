"""The parameters of a query: a route takes those that it has, each of them once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin
from urllib.parse import parse_qsl

from litestar import Litestar, Request
from litestar.routes import HTTPRoute

from app.http.errors import FieldError, Invalid

PARAMETERS = "query_parameters"  # in a handler's `opt`
# In a handler's `opt`, too: parameters whose names begin so are its own to read, by `sent_under`.
PREFIX = "query_prefix"
IGNORES_OTHERS = "query_ignores_others"  # parameters that a route does not have are let be
WHOLE = re.compile(r"-?(0|[1-9][0-9]*)")  # as in JSON; msgspec alone would take `1e2`, too


def note_parameters(app: Litestar) -> None:
    """Keeps with each handler, once, which query parameters it takes, and their types."""
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for handler, model in route.route_handler_map.values():
                types = handler.parsed_fn_signature.parameters
                handler.opt[PARAMETERS] = {
                    one.field_alias: types[one.field_name].annotation
                    for one in model.expected_query_params
                    if one.field_name in types
                }


def check_parameters(request: Request[Any, Any, Any]) -> None:
    """Raises Invalid for parameters that the route does not have, or not as they are."""
    opt = request.route_handler.opt
    if PARAMETERS not in opt:
        return
    known, query = opt[PARAMETERS], _query(request)
    if opt.get(IGNORES_OTHERS):
        query = [(name, value) for name, value in query if name in known]
    _check_query(query, known, opt.get(PREFIX))


def sent_under(request: Request[Any, Any, Any], prefix: str) -> list[tuple[str, str]]:
    """List the parameters whose names begin with the prefix, without it, and their values."""
    sent = _query(request)
    return [(name.removeprefix(prefix), one) for name, one in sent if name.startswith(prefix)]


def _query(request: Request[Any, Any, Any]) -> list[tuple[str, str]]:
    return parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)


def _check_query(
    query: list[tuple[str, str]], known: Mapping[str, Any], prefix: str | None
) -> None:
    errors, seen = list[FieldError](), set[str]()
    for name, value in query:
        kind = str if prefix and name.startswith(prefix) else known.get(name)
        if message := _fault(value, kind, is_repeated=name in seen):
            errors.append(FieldError(name, message))
        seen.add(name)
    if errors:
        raise Invalid(errors=errors)


def _fault(value: str, kind: Any, *, is_repeated: bool) -> str | None:
    if kind is None:
        return "There is no such parameter here; leave it out."
    if is_repeated:
        return "This parameter was sent more than once; send it once."
    if kind is int and not WHOLE.fullmatch(value):
        return "Send a whole number, in digits."
    if get_origin(kind) is Literal and value not in get_args(kind):
        return f"Send one of these: {', '.join(sorted(get_args(kind)))}."
    return None
