"""Creates what takes several statements: a fork that is sealed anew, a conversation with items."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.chat.fetching import Fetch, within
from app.chat.writes import Writes
from app.http.idempotency import KeyedRequest
from app.http.security import Principal

T = TypeVar("T")


async def create_in_transaction(
    writes: Writes,
    actor: Principal,
    request: KeyedRequest | None,
    write: Callable[[Fetch], Awaitable[T]],
) -> T | bytes:
    """Create in one transaction; once for each key, whose answer is stored in it, too."""
    if request is None:
        return await writes.in_transaction(actor, lambda session: write(within(session)))
    return await writes.create(actor, request, write)
