"""Litestar reads the signature of each route's function once for all applications of a run.

Each test has an application of its own, which takes as long as most tests; reading signatures would
be four tenths of it. A process of the service, which makes one application, is left alone.
"""

from __future__ import annotations

from inspect import ismethod
from typing import Any

from litestar.types import AnyCallable
from litestar.utils.signature import ParsedSignature

PARSE = "from_fn"


def remember() -> None:
    parse = ParsedSignature.from_fn
    known: dict[object, ParsedSignature] = {}

    def parsed(fn: AnyCallable, names: dict[str, Any]) -> ParsedSignature:
        # Controllers, and functions made by functions, are made anew, but of the same code.
        key = getattr(fn, "__code__", fn), ismethod(fn), frozenset(names)
        if key not in known:
            known[key] = parse(fn, names)
        return known[key]

    setattr(ParsedSignature, PARSE, staticmethod(parsed))
