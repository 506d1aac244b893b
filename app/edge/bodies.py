"""A request's body is read as a whole: in time, within its size, within the memory there is.

A small one weighs no more than its connection and is read from anybody. What is larger is read for
callers who are known, and counts: all such bodies together take REQUEST_BODIES_MAX_BYTES, those of
one person a quarter of it, of one tenant a half.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from app.config.settings import Settings
from app.edge.lanes import SHARES, Caller, Load, SaturatedError
from app.http.errors import PayloadTooLarge, RequestTimeout

if TYPE_CHECKING:
    from litestar.types import HTTPReceiveMessage, Receive

SMALL_BYTES = 16_384
FULL = "The service holds as many request bodies as it can; try again."
TOO_MANY = "Too many large requests are under way for you; try again when some are answered."


class BodyMemory:
    """Counts the bytes of large bodies that have arrived and are not answered yet."""

    def __init__(self, settings: Settings) -> None:
        self.receive_seconds = settings.request_receive_seconds
        self._max_bytes = settings.request_bodies_max_bytes
        self._load = Load(self._max_bytes)

    @property
    def held_bytes(self) -> int:
        return self._load.total

    def take(self, caller: Caller, size: int, *, already: int) -> None:
        """Adds to the bytes that a body has already. Raises SaturatedError.

        One body may be larger than its caller's share; two together may not.
        """
        if self._load.total + size > self._max_bytes:
            raise SaturatedError(FULL)
        for share, held in zip(SHARES, self._load.of(caller), strict=True):
            if held > already and share * (held + size) > self._max_bytes:
                raise SaturatedError(TOO_MANY)
        self._load.add(caller, size)

    def give_back(self, caller: Caller, size: int) -> None:
        self._load.add(caller, -size)


class Body:
    """Reads what one request's body has besides its first part, and hands it on in one piece."""

    def __init__(
        self, memory: BodyMemory, receive: Receive, max_bytes: int, deadline: float
    ) -> None:
        self.is_whole = False
        self._memory = memory
        self._receive = receive
        self._max_bytes = max_bytes
        self._deadline = deadline
        self._parts: list[bytes] = []
        self._size = 0
        self._caller: Caller | None = None
        self._last: HTTPReceiveMessage | None = None  # for the application

    async def begin(self, first: HTTPReceiveMessage) -> None:
        """Reads on, as far as from anybody. Raises PayloadTooLarge and RequestTimeout."""
        self._add(first)
        await self._read(SMALL_BYTES)

    async def finish(self, caller: Caller) -> None:
        """Reads what is left. Raises SaturatedError, too, when memory is short."""
        self._memory.take(caller, self._size, already=0)
        self._caller = caller
        await self._read(self._max_bytes)

    async def receive(self) -> HTTPReceiveMessage:
        """Hands on the whole, once; after it comes only that the client has gone."""
        whole, self._last = self._last, None
        return whole or await self._message()

    def forget(self) -> None:
        """Gives the memory back. To be called when the request is answered."""
        if self._caller is not None:
            self._memory.give_back(self._caller, self._size)

    async def _read(self, enough: int) -> None:
        try:
            async with asyncio.timeout_at(self._deadline):
                while not self.is_whole and self._size <= enough:
                    self._add(await self._message())
        except TimeoutError:
            raise RequestTimeout from None

    async def _message(self) -> HTTPReceiveMessage:
        return cast("HTTPReceiveMessage", await self._receive())

    def _add(self, message: HTTPReceiveMessage) -> None:
        if message["type"] != "http.request":
            self.is_whole, self._last = True, message
            return
        part = message["body"]
        if self._caller is not None:
            self._memory.take(self._caller, len(part), already=self._size)
        self._size += len(part)
        if self._size > self._max_bytes:
            raise PayloadTooLarge
        self._parts.append(part)
        if not message.get("more_body", False):
            self.is_whole, self._parts = True, [b"".join(self._parts)]
            self._last = {"type": "http.request", "body": self._parts[0], "more_body": False}
