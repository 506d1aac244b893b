"""An append tells its route, and the key that it was sent under, what it did."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

Answer = TypeVar("Answer", covariant=True)


class Appended(NamedTuple, Generic[Answer]):
    """An append's answer, the conversation's tag since, and the first and last position in it.

    A stored answer has no tag: the conversation may have changed again. `is_new` tells that a
    message was stored.
    """

    answer: Answer
    etag: str | None = None
    positions: tuple[int, int] | None = None
    is_new: bool = True
