"""The shares of a pool: what hangs for one tenant, or on one server, leaves places for others."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Hashable

Holders = tuple[Hashable, ...]  # a tenant, and on Citus the worker that has its rows


class Turn:
    """Waits for a place."""

    def __init__(self, holders: Holders) -> None:
        self.holders = holders
        self.came: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Places:
    """Shares out `most` connections, so that no holder's statements can spend them all.

    A tenant has half of them, and so have all tenants of one worker together. While nobody else
    waits a holder may have more, yet never the last quarter: what it holds, behind a lock or on a
    server that hangs, cannot be taken back. Work that is for no tenant is bounded by the pool
    alone. Who waits is served in order, within shares.
    """

    def __init__(self, most: int) -> None:
        self.in_use = 0
        self._most = most
        self._share = -(-most // 2)
        self._alone = most - most // 4
        self._held = Counter[Hashable]()
        self._turns: deque[Turn] = deque()

    @property
    def waiting(self) -> int:
        return len(self._turns)

    async def take(self, holders: Holders, seconds: float) -> None:
        """Raises TimeoutError when no place comes free."""
        if self._may_have(holders):
            self._count(holders, 1)
        else:
            await self._wait(Turn(holders), seconds)

    def give_back(self, holders: Holders) -> None:
        self._count(holders, -1)
        self._serve()

    def _may_have(self, holders: Holders) -> bool:
        """Tell whether there is a place for these, which those who wait could not take."""
        return self.in_use < self._most and all(map(self._may_hold_more, holders))

    def _may_hold_more(self, holder: Hashable) -> bool:
        held = self._held[holder]
        if held < self._share:
            return True
        return held < self._alone and all(holder in turn.holders for turn in self._turns)

    def _count(self, holders: Holders, number: int) -> None:
        self.in_use += number
        for holder in holders:
            self._held[holder] += number
            if not self._held[holder]:
                del self._held[holder]

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
            self.give_back(turn.holders)

    def _serve(self) -> None:
        for turn in [*self._turns]:
            if self.in_use >= self._most:
                return
            if not turn.came.cancelled() and self._may_have(turn.holders):
                self._turns.remove(turn)
                self._count(turn.holders, 1)
                turn.came.set_result(None)
