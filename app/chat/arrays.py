"""Many messages are stored by one statement, which takes an array for each column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from app.chat.words import Seal

if TYPE_CHECKING:
    from app.chat.messages import Prepared

T = TypeVar("T")


def arrays_of(messages: Sequence[Prepared], session_id: UUID, seal: Seal) -> dict[str, Any]:
    """Turn the messages into one array for each column; None where no message has a value."""
    sent = [message.sent for message in messages]
    rows = [seal.columns(session_id, message.id, message.words) for message in messages]
    contents, parts, metadata_, _, _, sealed, sizes = map(list, zip(*rows, strict=True))
    digests = [message.words.digest for message in messages]
    return {
        "ids": [message.id for message in messages],
        "roles": [one.role for one in sent],
        "contents": contents,
        "parts": _if_any(parts),
        "metadata": _if_any(metadata_),
        "statuses": [one.status for one in sent],
        "client_ids": _if_any([one.client_id for one in sent]),
        "digests": _if_any([one and seal.digest(one) for one in digests]),
        "plain_digests": _if_any(digests),
        "sealed": _if_any(sealed),
        "sizes": _if_any(sizes),
    }


def _if_any(values: list[T | None]) -> list[T | None] | None:
    return None if values.count(None) == len(values) else values
