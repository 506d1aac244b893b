"""Shares out a pool's connections, so that no holder's statements can spend them all."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable

from app.databases.connection import Holders


class Turn:
    """Waits for a place."""

    def __init__(self, holders: Holders) -> None:
        self.holders = holders
        self.came: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Places:
    """There are `most`; whoever has one is in `held`, once for each.

    A tenant has half of them, and so have all tenants of one worker together. While nobody else
    waits a holder may have more, yet never the last quarter: what it holds, behind a lock or on a
    server that hangs, cannot be taken back. Work that is for no tenant is bounded by the pool
    alone. Who waits is served in order, within shares.

    As long as no more than a share is held in all and nobody waits, anybody may have a place. The
    pool sees to that itself, for nearly every request; it asks here otherwise.
    """

    def __init__(self, most: int) -> None:
        self.held: list[Holders] = []
        self.turns: deque[Turn] = deque()
        self.share = -(-most // 2)
        self._most = most
        self._alone = most - most // 4

    @property
    def in_use(self) -> int:
        return len(self.held)

    @property
    def waiting(self) -> int:
        return len(self.turns)

    async def take(self, holders: Holders, seconds: float) -> None:
        """Raises TimeoutError when no place comes free."""
        if self.may_have(holders):
            self.held.append(holders)
        else:
            await self._wait(Turn(holders), seconds)

    def give_back(self, holders: Holders) -> None:
        self.held.remove(holders)
        self.serve()

    def may_have(self, holders: Holders) -> bool:
        """Tell whether there is a place for these, which those who wait could not take."""
        return len(self.held) < self._most and all(map(self._may_hold_more, holders))

    def _may_hold_more(self, holder: Hashable) -> bool:
        held = sum(holder in one for one in self.held)
        if held < self.share:
            return True
        return held < self._alone and all(holder in turn.holders for turn in self.turns)

    async def _wait(self, turn: Turn, seconds: float) -> None:
        self.turns.append(turn)
        try:
            async with asyncio.timeout(seconds):
                await turn.came
        except BaseException:
            self._leave(turn)
            raise

    def _leave(self, turn: Turn) -> None:
        if turn in self.turns:
            self.turns.remove(turn)
            self.serve()  # those who had to wait while this one did
        else:  # the place came just now, and nobody is there to use it
            self.give_back(turn.holders)

    def serve(self) -> None:
        """Give what is free to those who wait and may have it."""
        for turn in [*self.turns]:
            if len(self.held) >= self._most:
                return
            if not turn.came.cancelled() and self.may_have(turn.holders):
                self.turns.remove(turn)
                self.held.append(turn.holders)
                turn.came.set_result(None)
