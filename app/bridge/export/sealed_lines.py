"""Lines of sealed messages: PostgreSQL writes what is plain, and what is said is opened here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from app.bridge.export.full_lines import without_line_ends
from app.chat.words import Seal, Words

UNREADABLE = ("null", "null", 'null,"unreadable":true')


def sealed_lines(part: Any, seal: Seal) -> bytes:
    """Put the lines of a part of export_parts together."""
    return "".join(_lines(part, seal)).encode()


def _lines(part: Any, seal: Seal) -> Iterator[str]:
    session, columns = part["session"], ("ids", "heads", "middles", "endings", "seals")
    for id_, head, middle, ending, sealed in zip(*(part[one] for one in columns), strict=True):
        if sealed is None:
            yield f"{head}{middle}{ending}"
        else:
            content, pairs, members = _said(seal.words(session, id_, sealed))
            yield f'{head}{content},"metadata":{pairs}{middle}{members}{ending}'


def _said(words: Words | None) -> tuple[str, str, str]:
    if words is None:
        return UNREADABLE
    content, parts, pairs, members, _ = words
    said = msgspec.json.encode(content).decode() if parts is None else without_line_ends(parts)
    return said, pairs or "{}", without_line_ends(members) if members else "null"
