"""Clients on kept and on new connections, who count what was not answered."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

REQUEST = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
PAUSES = (0.0, 0.01, 0.1, 1.0, 2.5, 4.0)  # a client's pool keeps a connection about so long


@dataclass
class Load:
    """Keeps clients of each kind at work until `stop`."""

    port: int
    answered: int = 0
    failures: list[str] = field(default_factory=list[str])
    _tasks: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])
    _is_over: bool = False

    def start(self, *, kept: int, new: int) -> None:
        for number in range(kept):
            pause = PAUSES[number % len(PAUSES)]
            self._tasks.append(asyncio.create_task(self._keep(pause)))
        for _ in range(new):
            self._tasks.append(asyncio.create_task(self._connect_anew()))

    async def stop(self) -> None:
        self._is_over = True
        await asyncio.gather(*self._tasks)

    async def _keep(self, pause: float) -> None:
        while not self._is_over:
            client = await self._connect()
            while client and not self._is_over:
                if not await self._ask(*client, f"kept, {pause} s"):
                    client[1].close()
                    client = None
                    break
                await asyncio.sleep(pause * random.random())  # noqa: S311  for variety
            if client:
                client[1].close()

    async def _connect_anew(self) -> None:
        while not self._is_over:
            if client := await self._connect():
                await self._ask(*client, "new")
                client[1].close()
            await asyncio.sleep(0.002)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        try:
            return await asyncio.open_connection("127.0.0.1", self.port)
        except OSError as error:
            self.failures.append(f"connect: {error!r}")
            await asyncio.sleep(0.1)
            return None

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, who: str
    ) -> bool:
        """Tell whether the connection may be used again."""
        try:
            if reader.at_eof():  # closed while it was idle, as every client's pool looks for
                return False
            writer.write(REQUEST)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.failures.append(f"{who}: {error!r}")
            return False
        self.answered += 1
        return b"connection: close" not in head.lower()
