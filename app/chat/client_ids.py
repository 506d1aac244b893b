"""A client's own id of a message: whatever is sent under it again is not stored twice.

Compared is the digest of what was sent first, which outlives edits of the message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec
from msgspec import Raw

from app.chat.schemas import NewMessage
from app.http.canonical import canonical
from app.http.errors import FieldError, Invalid

TWICE = "Sent twice in this request; give each message a client_id of its own."


def digest_of(sent: NewMessage, content: str, parts: str | None) -> bytes:
    """Digest all that was sent but the id, however it was written."""
    message = {
        "role": sent.role,
        "content": content if parts is None else Raw(parts.encode()),
        "metadata": sent.metadata or {},
        "status": sent.status,
    }
    return hashlib.sha256(canonical(msgspec.json.encode(message)).encode()).digest()


def check_client_ids(messages: Sequence[NewMessage]) -> None:
    """Raises Invalid where two of the messages have the same."""
    seen, errors = set[str](), list[FieldError]()
    for number, message in enumerate(messages):
        if message.client_id in seen:
            errors.append(FieldError(f"messages[{number}].client_id", TWICE))
        elif message.client_id is not None:
            seen.add(message.client_id)
    if errors:
        raise Invalid(errors=errors)
