"""Contents that are more than a text: lists of parts, and texts that PostgreSQL cannot store.

They are stored as JSON, byte for byte as it was sent, since any decoding loses something: numbers
their digits, objects the order of keys written twice. What is known of a part is checked, and its
text copied to where a search would look for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Raw, Struct, ValidationError

from app.chat.schemas import PART_TYPE
from app.chat.surrogates import SentText
from app.http.errors import FieldError, Invalid
from app.http.surrogates import without_halves
from app.http.words import MISSING, explain

# Besides, a page has three levels around a part's list: 64 in all is as deep as the strictest
# common parsers read by default.
MAX_DEPTH = 60
DEEPER = f"Nest lists and objects at most {MAX_DEPTH} deep."
NOTHING = Raw(b"")
NO_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|[^][{}"]+')
INNERMOST = re.compile(rb"\[]|{}")
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class Known(Struct, frozen=True):
    """The members of a part that its type may ask for, each as JSON."""

    type: Annotated[str, Meta(min_length=1, max_length=64, pattern=PART_TYPE)]
    text: Raw = NOTHING
    url: Raw = NOTHING
    id: Raw = NOTHING
    name: Raw = NOTHING
    arguments: Raw = NOTHING
    tool_call_id: Raw = NOTHING
    content: Raw = NOTHING


# Strings that a part of this type must have.
STRINGS = {
    "text": ("text",),
    "tool_call": ("id", "name", "arguments"),
    "tool_result": ("tool_call_id",),
}
REFERENCES = ("image", "audio", "file")

decode_part = msgspec.json.Decoder(Known).decode
decode_text = msgspec.json.Decoder(str).decode
decode_list = msgspec.json.Decoder(list[Raw]).decode


class Stored(NamedTuple):
    """A content as the columns `content` and `parts` have it."""

    content: str
    parts: str | None


def stored(content: str | Sequence[Raw], path: str) -> Stored:
    """Raises Invalid for a part that lacks what its type has; `path` is where the content was."""
    if isinstance(content, str):
        return _stored_text(content)
    texts, written = list[str](), list[str]()
    for number, part in enumerate(content):
        sent = bytes(part)
        texts.append(_checked_text(sent, f"{path}[{number}]"))
        written.append(sent.decode())
    return Stored("".join(texts).replace("\0", REPLACEMENT), f"[{','.join(written)}]")


def _stored_text(text: str) -> Stored:
    """Store as JSON, too, what the column cannot hold: U+0000, and halves of surrogate pairs."""
    sent = text.json if isinstance(text, SentText) else msgspec.json.encode(text).decode()
    return Stored(text.replace("\0", REPLACEMENT), sent)


def _checked_text(sent: bytes, path: str) -> str:
    check_depth(sent, path)
    part = _decoded(sent, path)
    if errors := list(_faults(part, path)):
        raise Invalid(errors=errors)
    return _said(part)


def text_of(sent: bytes, path: str) -> str:
    """Read the text of a list of parts, whatever else their types should have.

    Raises Invalid for a part without a type.
    """
    parts = enumerate(decode_list(without_halves(sent)))
    texts = (_said(_decoded(bytes(part), f"{path}[{number}]")) for number, part in parts)
    return "".join(texts).replace("\0", REPLACEMENT)


def _said(part: Known) -> str:
    return decode_text(part.text) if _is_string(part.text) else ""


def check_depth(sent: bytes, path: str) -> None:
    """Raises Invalid for JSON that common parsers would not read."""
    if _is_too_deep(sent):
        raise Invalid.field(path, DEEPER)


def _decoded(sent: bytes, path: str) -> Known:
    try:
        return decode_part(sent)
    except ValidationError as error:
        fault = explain(str(error), Known)
        raise Invalid.field(f"{path}.{fault.path}".rstrip("."), fault.message) from None
    except msgspec.DecodeError:
        return _decoded(without_halves(sent), path)


def _faults(part: Known, path: str) -> Iterator[FieldError]:
    for name in STRINGS.get(part.type, ()):
        value: Raw = getattr(part, name)
        if not _is_string(value):
            yield FieldError(f"{path}.{name}", _words(value))
    if part.type == "tool_result" and part.content is NOTHING:
        yield FieldError(f"{path}.content", MISSING)
    if part.type in REFERENCES and not (_is_string(part.url) or _is_string(part.id)):
        yield FieldError(path, "Send its `url` or its `id`, a string.")


def _words(value: Raw) -> str:
    return MISSING if value is NOTHING else "Send a string."


def _is_string(value: Raw) -> bool:
    return bytes(memoryview(value)[:1]) == b'"'


def _is_too_deep(sent: bytes) -> bool:
    if sent.count(b"[") + sent.count(b"{") < MAX_DEPTH:  # the list of the parts is one level
        return False
    brackets = NO_BRACKETS.sub(b"", sent)
    for _ in range(1, MAX_DEPTH):
        brackets = INNERMOST.sub(b"", brackets)
    return bool(brackets)
