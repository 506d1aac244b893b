"""Request bodies, read as a whole: in time, within their size, within the memory there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from app.config.settings import Settings
from app.databases.waits import Wait, Waits
from app.http.errors import PayloadTooLarge, RequestTimeout, Unavailable

if TYPE_CHECKING:
    from litestar.types import HTTPReceiveMessage, Receive


class BodyMemory:
    """Of all bodies of this process that are not answered yet. Only what has arrived counts."""

    def __init__(self, settings: Settings) -> None:
        self.max_body_bytes = settings.request_max_body_bytes
        self.receiving = Waits(settings.request_receive_seconds)
        self._free_bytes = settings.request_bodies_max_bytes

    def take(self, size: int) -> None:
        if size > self._free_bytes:
            raise Unavailable("The service holds as many request bodies as it can; try again.")
        self._free_bytes -= size

    def give_back(self, size: int) -> None:
        self._free_bytes += size


class Body:
    """One request's. `receive` hands it on in one piece."""

    def __init__(self, memory: BodyMemory, receive: Receive) -> None:
        self._memory = memory
        self._receive = receive
        self._size = 0
        self._whole: HTTPReceiveMessage | None = None

    async def read(self, declared_bytes: int) -> None:
        """Raises PayloadTooLarge, RequestTimeout, and Unavailable when memory is short."""
        if declared_bytes > self._memory.max_body_bytes:
            raise PayloadTooLarge  # before the client is told to go on (Expect: 100-continue)
        try:
            with Wait(self._memory.receiving):
                self._whole = await self._read()
        except TimeoutError:
            raise RequestTimeout from None

    async def receive(self) -> HTTPReceiveMessage:
        whole, self._whole = self._whole, None
        return whole or await self._message()

    def forget(self) -> None:
        self._memory.give_back(self._size)
        self._size = 0

    async def _read(self) -> HTTPReceiveMessage:
        parts: list[bytes] = []
        while True:
            message = await self._message()
            if message["type"] != "http.request":
                return message  # the client is gone
            self._count(len(message["body"]))
            parts.append(message["body"])
            if not message.get("more_body", False):
                return {"type": "http.request", "body": b"".join(parts), "more_body": False}

    async def _message(self) -> HTTPReceiveMessage:
        return cast("HTTPReceiveMessage", await self._receive())

    def _count(self, size: int) -> None:
        self._memory.take(size)
        self._size += size
        if self._size > self._memory.max_body_bytes:
            raise PayloadTooLarge
