"""This says of an invalid value what to send instead, in a person's words.

msgspec's messages are written for programmers; one that is not known here is passed on as it is.
"""

from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Iterator
from typing import Any

from msgspec import inspect

from app.http.errors import FieldError

KINDS = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "uuid": "a UUID",
    "datetime": "a time",
    "null": "null",
}
MISSING = "This field is missing; send it."
UNKNOWN = "There is no such field here; leave it out."
FORMS = {
    "Invalid UUID": "Send a UUID, as 019a3f5e-7c1b-7d3c-9b1f-2a4d5e6f7a8b.",
    "Expected `datetime` with a timezone component": "Send a time with its offset from UTC, or Z.",
    "Invalid RFC3339 encoded datetime": "Send a time, as 2026-01-31T09:30:00Z.",
}
_patterns: dict[str, str] = {}


def pattern(regex: str, words: str) -> str:
    """Give a pattern its words, for whoever sends what does not match it."""
    _patterns[regex] = words
    return regex


def explain(text: str, annotation: Any = None) -> FieldError:
    """Turn a message of msgspec's round. `annotation` is the type that the value should have."""
    message, _, rest = text.partition(" - at `")
    path = rest.rpartition("$")[2].rstrip("`").lstrip(".")
    if named := re.fullmatch(r"Object (missing required|contains unknown) field `(.*)`", message):
        path = f"{path}.{named[2]}".lstrip(".")
        return FieldError(path, MISSING if named[1].startswith("missing") else UNKNOWN)
    words = FORMS.get(message) or _in_words(message, path, annotation) or message
    if rest.startswith("key` in "):
        words = f"In a key, {words[0].lower()}{words[1:]}"
    return FieldError(path, words)


def _in_words(message: str, path: str, annotation: Any) -> str | None:
    if message.startswith("Invalid enum value"):
        choices = ", ".join(sorted(_choices(annotation, path)))
        return choices and f"Send one of these: {choices}."
    if found := re.fullmatch(r"Expected `(.*)`, got `(.*)`", message):
        wanted, sent = map(_kind, found.groups())
        return f"Send {wanted}, not {sent}."
    if found := re.fullmatch(r"Expected `(str|array|object)` of length (>=|<=) (\d+)", message):
        return _length(*found.groups())
    if found := re.fullmatch(r"Expected `\w+` (>=|<=|>|<) (\S+)", message):
        bound = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}[found[1]]
        return f"Send {bound} {found[2]}."
    if found := re.fullmatch(r"Expected `str` matching regex (.*)", message, re.DOTALL):
        return _patterns.get(literal_eval(found[1]))
    return None


def _kind(names: str) -> str:
    return " or ".join(KINDS.get(name, name) for name in names.split(" | "))


def _length(kind: str, sign: str, number: str) -> str:
    unit = {"str": "character", "array": "item", "object": "pair"}[kind]
    bound = "at least" if sign == ">=" else "at most"
    return f"Send {bound} {int(number):,} {unit}{'' if number == '1' else 's'}."


def _choices(annotation: Any, path: str) -> list[str]:
    """Find what may be sent at this path of the type."""
    if annotation is None:
        return []
    here = [inspect.type_info(annotation)]
    for step in re.findall(r"[^.\[\]]+|\.\.\.", path):
        here = [inner for one in here for inner in _inside(one, step)]
    return [str(value) for one in here for value in _values(one)]


def _inside(kind: inspect.Type, step: str) -> Iterator[inspect.Type]:
    match kind:
        case inspect.Metadata(type=inner):
            yield from _inside(inner, step)
        case inspect.UnionType(types=kinds):
            yield from (inner for one in kinds for inner in _inside(one, step))
        case inspect.StructType(fields=fields):
            yield from (one.type for one in fields if one.encode_name == step)
        case inspect.ListType(item_type=item):
            yield item
        case _:
            return


def _values(kind: inspect.Type) -> Iterator[object]:
    match kind:
        case inspect.Metadata(type=inner):
            yield from _values(inner)
        case inspect.UnionType(types=kinds):
            yield from (value for one in kinds for value in _values(one))
        case inspect.LiteralType(values=values):
            yield from values
        case inspect.EnumType(cls=enum):
            yield from (one.value for one in enum)
        case _:
            return
