"""Ids on the wire: a prefix and, for those that are made here, the 32 digits of a UUID."""

from __future__ import annotations

import re
from uuid import UUID

CONVERSATION = "conv_"
MESSAGE = "msg_"
MAX_LENGTH = 255
PREFIXED = re.compile(r"[A-Za-z][A-Za-z0-9]*_[A-Za-z0-9_-]+")


def conversation_id(session_id: UUID) -> str:
    return CONVERSATION + session_id.hex


def message_id(message_id: UUID) -> str:
    return MESSAGE + message_id.hex


def uuid_of(id_: str, prefix: str) -> UUID | None:
    """Read the UUID of an id that was made here. None for any other."""
    digits = id_.removeprefix(prefix)
    if not id_.startswith(prefix) or not re.fullmatch(r"[0-9a-f]{32}", digits):
        return None
    return UUID(digits)


def is_kept(id_: object) -> bool:
    """Tell whether an item's own id is kept: `prefix_…`, of ordinary characters.

    A placeholder, such as `__fake_id__` of the Agents SDK, has no prefix.
    """
    return isinstance(id_, str) and len(id_) <= MAX_LENGTH and bool(PREFIXED.fullmatch(id_))
