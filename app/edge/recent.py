"""A bounded memory: beyond a number of entries the older half is forgotten."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V")

# Of two halves, the newer one has at most so many. Whoever wanted to be forgotten sooner by sending
# other tokens would need so many requests that a burst has grown back meanwhile.
REMEMBERED = 20_000


class Recent(Generic[V]):
    """Maps to what was put there last, unless that is long ago."""

    def __init__(self) -> None:
        self._newer: dict[Hashable, V] = {}
        self._older: dict[Hashable, V] = {}

    def __len__(self) -> int:
        return len(self._newer) + len(self._older)

    def get(self, key: Hashable) -> V | None:
        found = self._newer.get(key)
        return self._older.get(key) if found is None else found

    def put(self, key: Hashable, value: V) -> None:
        self._newer[key] = value
        if len(self._newer) >= REMEMBERED:
            self._older, self._newer = self._newer, {}
