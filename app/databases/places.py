"""Shares out a pool's connections, so that one tenant's statements cannot spend them all.

A tenant has half of them. While nobody else waits it may have more, yet never the last quarter:
what it holds, behind a lock or on a server that hangs, cannot be taken back. Work that is for no
tenant is bounded by the pool alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from uuid import UUID

Tenant = UUID | None


class Turn:
    """One that waits for a place."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.came: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Places:
    """Counts who holds what of `most` connections. Who waits is served in order, within shares."""

    def __init__(self, most: int) -> None:
        self.in_use = 0
        self._most = most
        self._share = -(-most // 2)
        self._alone = most - most // 4
        self._held: dict[UUID, int] = {}
        self._turns: deque[Turn] = deque()

    @property
    def waiting(self) -> int:
        return len(self._turns)

    async def take(self, tenant: Tenant, seconds: float) -> None:
        """Raises TimeoutError when no place comes free."""
        if self._may_have(tenant):
            self._count(tenant, 1)
        else:
            await self._wait(Turn(tenant), seconds)

    def give_back(self, tenant: Tenant) -> None:
        self._count(tenant, -1)
        self._serve()

    def _may_have(self, tenant: Tenant) -> bool:
        """Look whether there is one for this tenant. Those who wait could not have it."""
        if self.in_use >= self._most:
            return False
        held = 0 if tenant is None else self._held.get(tenant, 0)
        if held < self._share:
            return True
        return held < self._alone and all(turn.tenant == tenant for turn in self._turns)

    def _count(self, tenant: Tenant, number: int) -> None:
        self.in_use += number
        if tenant is None:
            return
        held = self._held.get(tenant, 0) + number
        if held:
            self._held[tenant] = held
        else:
            del self._held[tenant]

    async def _wait(self, turn: Turn, seconds: float) -> None:
        self._turns.append(turn)
        try:
            async with asyncio.timeout(seconds):
                await turn.came
        except BaseException:
            self._leave(turn)
            raise

    def _leave(self, turn: Turn) -> None:
        if turn in self._turns:
            self._turns.remove(turn)
            self._serve()  # those who had to wait while this one did
        else:  # the place came just now, and nobody is there to use it
            self.give_back(turn.tenant)

    def _serve(self) -> None:
        for turn in [*self._turns]:
            if self.in_use >= self._most:
                return
            if not turn.came.cancelled() and self._may_have(turn.tenant):
                self._turns.remove(turn)
                self._count(turn.tenant, 1)
                turn.came.set_result(None)
