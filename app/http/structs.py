"""Makes what a client gets from what a service returns: structs of named fields."""

from __future__ import annotations

from typing import TypeVar

from msgspec import convert

T = TypeVar("T")


def to_struct(shape: type[T], row: object) -> T:
    """Fill the struct, or the list of structs, from attributes of the same names.

    Raises ValidationError where a field has no attribute, or one of another type.
    """
    return convert(row, shape, from_attributes=True)
