"""JSON in one form, however it was written: without white space, each object sorted by its keys.

What is equal in this form was sent alike. A number that a computer's own cannot hold stands as it
was written, so that two that differ in their last digit differ here.
"""

from __future__ import annotations

import json
from typing import NoReturn

import msgspec
from msgspec import Raw

from app.http.surrogates import marked

DIGITS = 15  # of a decimal fraction, which a float keeps


def canonical(body: bytes) -> str:
    """Raises msgspec.DecodeError for what is not JSON."""
    try:
        return _encoded(_decode(body))
    except (msgspec.DecodeError, OverflowError) as error:
        try:
            return _encoded(_decoded_slowly(body))
        except ValueError:
            raise error from None


def _number(text: str) -> float | Raw:
    is_short = len(text) <= DIGITS and "e" not in text and "E" not in text
    return float(text) if is_short else Raw(text.encode())


def _integer(text: str) -> int | Raw:
    return int(text) if len(text) <= DIGITS else Raw(text.encode())


_decode = msgspec.json.Decoder(float_hook=_number).decode


def _decoded_slowly(body: bytes) -> object:
    """Read longer numbers, and halves of surrogate pairs, too."""
    return json.loads(
        marked(body).text, parse_int=_integer, parse_float=_number, parse_constant=_refuse
    )


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def _encoded(value: object) -> str:
    return msgspec.json.encode(value, order="sorted").decode()
