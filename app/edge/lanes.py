"""Lanes bound how many requests are worked on at a time; no caller keeps others out of one.

A caller's share of a lane is a quarter for a person and a half for their tenant. Alone, a caller
may have the whole lane. For those within their shares there is as much room again, so that they
need not wait for that one's requests to end. Whoever waits is let in by shares, not by the time of
coming; and where the queue is full, whoever has most in it gives way.

Places alone do not share out the processor: four requests at a time, one after the other, keep it
busy. So a person who has their whole share, while others are there, rests between requests.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Hashable
from enum import StrEnum
from math import inf
from typing import NamedTuple

from app.config.settings import Settings
from app.http.errors import Unavailable

COMPANY_SECONDS = 1.0
REST = 8  # times as long as the request took
LONGEST_REST_SECONDS = 1.0
SHARES = (4, 2)  # a quarter for a person, a half for a tenant


class LaneName(StrEnum):
    """A route names its lane as `lane` in its `opt`; unless it does, it has ACCOUNTS."""

    ACCOUNTS = "accounts"
    CHAT = "chat"
    EXPORTS = "exports"
    LOGINS = "logins"


class Caller(NamedTuple):
    """A person and their tenant, or whatever stands for them before they are known."""

    person: Hashable
    tenant: Hashable


class SaturatedError(Unavailable):
    """The service is saturated; try again."""


class Load:
    """Counts what callers have of something there is `available` of, and weighs it by their shares.

    What a person has beyond their share does not count for their tenant: colleagues keep theirs.
    """

    def __init__(self, available: int) -> None:
        self.total = 0
        self._share = max(1, available // SHARES[0])
        self._crowd = max(2, self._share)
        self._people: dict[Hashable, int] = {}
        self._tenants: dict[Hashable, int] = {}

    def add(self, caller: Caller, number: int = 1) -> None:
        self.total += number
        before = self._people.get(caller.person, 0)
        after = before + number
        _set(self._people, caller.person, after)
        counted = min(after, self._share) - min(before, self._share)
        if counted:
            _set(self._tenants, caller.tenant, self._tenants.get(caller.tenant, 0) + counted)

    def of(self, caller: Caller) -> tuple[int, int]:
        """Return what the person has, and what counts for their tenant."""
        return self._people.get(caller.person, 0), self._tenants.get(caller.tenant, 0)

    def is_crowd(self, caller: Caller) -> bool:
        """Return whether the person has their whole share, of more than one."""
        return self._people.get(caller.person, 0) >= self._crowd

    def weight(self, caller: Caller) -> int:
        """Reaches what is available when the caller has a whole share of it."""
        of_person, of_tenant = self.of(caller)
        return max(SHARES[0] * of_person, SHARES[1] * of_tenant)


def _set(counts: dict[Hashable, int], key: Hashable, count: int) -> None:
    if count:
        counts[key] = count
    else:
        counts.pop(key, None)


class Company:
    """Tells whether anybody is alone: whether two different callers came within a second.

    Who waits for a moment only, again and again, would else find a flood in its way each time.
    """

    def __init__(self, seconds: float = COMPANY_SECONDS) -> None:
        self._seconds = seconds
        self._latest: Hashable = None
        self._changed_at = -inf

    def note(self, caller: Caller) -> None:
        if caller.person != self._latest:
            if self._latest is not None:
                self._changed_at = time.monotonic()
            self._latest = caller.person

    def is_there(self) -> bool:
        return time.monotonic() - self._changed_at < self._seconds


class Place:
    """Holds a place in a lane for the time of a block. Entering in vain raises SaturatedError.

    As a generator it would cost each request three times as much.
    """

    def __init__(self, lane: Lane, caller: Caller) -> None:
        self._lane = lane
        self._caller = caller
        self._entered_at = 0.0

    async def __aenter__(self) -> None:
        await self._lane.enter(self._caller)
        self._entered_at = time.monotonic()

    async def __aexit__(self, *_: object) -> None:
        self._lane.leave_after(time.monotonic() - self._entered_at, self._caller)


class Lane:
    """Lets in `places` requests, and keeps `queue` more waiting.

    With `company`, which lanes have in common, a caller may have a whole lane only while alone.
    In company a whole share's place stays empty for `rest` times as long as it was held.
    """

    def __init__(
        self, places: int, queue: int, company: Company | None = None, *, rest: float = REST
    ) -> None:
        self._company = company
        self._rest = rest
        self._places = places
        self._queue = queue
        self._running, self._waiting = Load(places), Load(queue)
        self._turns: dict[Caller, deque[asyncio.Future[None]]] = {}

    def place(self, caller: Caller) -> Place:
        return Place(self, caller)

    def check(self, caller: Caller) -> None:
        """Raises SaturatedError for whom there is neither a place nor room in the queue."""
        if not self._has_place(caller) and self._waiting.total >= self._queue:
            self._who_gives_way_to(caller)

    async def enter(self, caller: Caller) -> None:
        """Takes a place, or waits for one. Raises SaturatedError."""
        if not self.has_entered(caller):
            await self.wait(caller)

    def has_entered(self, caller: Caller) -> bool:
        """Takes a place, if there is one for this caller now."""
        if self._company is not None:
            self._company.note(caller)
        has_place = self._has_place(caller)
        if has_place:
            self._running.add(caller)
        return has_place

    async def wait(self, caller: Caller) -> None:
        """Waits for a place. Raises SaturatedError."""
        if self._waiting.total >= self._queue:
            most = self._who_gives_way_to(caller)
            self._taken_from_queue(most, -1).set_exception(SaturatedError())
        turn = asyncio.get_running_loop().create_future()
        self._turns.setdefault(caller, deque()).append(turn)
        self._waiting.add(caller)
        try:
            await asyncio.shield(turn)
        except asyncio.CancelledError:
            if not turn.done():
                self._taken_from_queue(caller, self._turns[caller].index(turn))
            elif turn.exception() is None:  # let in just now, and gone already
                self.leave(caller)
            raise

    def leave_after(self, held_seconds: float, caller: Caller) -> None:
        """Gives a place back that was held for so long: at once, or when it has rested."""
        if self._running.is_crowd(caller) and self._is_in_company:
            rest_seconds = min(self._rest * held_seconds, LONGEST_REST_SECONDS)
            asyncio.get_running_loop().call_later(rest_seconds, self.leave, caller)
        else:
            self.leave(caller)

    def leave(self, caller: Caller) -> None:
        """Gives a place back, and to whoever waits with the least of their share."""
        self._running.add(caller, -1)
        while self._turns:
            least = min(self._turns, key=self._running.weight)
            if not self._has_place(least):
                return
            self._running.add(least)
            self._taken_from_queue(least, 0).set_result(None)

    def _has_place(self, caller: Caller) -> bool:
        if self._running.weight(caller) < self._places:
            return self._running.total < 2 * self._places
        return self._running.total < self._places and not self._is_in_company

    @property
    def _is_in_company(self) -> bool:
        return self._company is not None and self._company.is_there()

    def _who_gives_way_to(self, caller: Caller) -> Caller:
        """Find who has most of the full queue. Raises SaturatedError for whom nobody does."""
        most = max(self._turns, key=self._waiting.weight, default=caller)
        if self._waiting.weight(most) <= self._waiting.weight(caller):
            raise SaturatedError
        return most

    def _taken_from_queue(self, caller: Caller, index: int) -> asyncio.Future[None]:
        turns = self._turns[caller]
        turn = turns[index]
        del turns[index]
        if not turns:
            del self._turns[caller]
        self._waiting.add(caller, -1)
        return turn


def lanes_of(settings: Settings) -> dict[LaneName, Lane]:
    """A lane holds up one thing only: a database that hangs, or a crowd that logs in, not the rest.

    More logins at a time than keep the hashing threads busy would queue there without any order.
    """
    company = Company()
    places, queue = settings.request_concurrency, settings.request_queue
    logins = settings.password_hash_threads + settings.password_hash_queue
    at_work = min(2 * settings.password_hash_threads, logins)
    return {
        LaneName.ACCOUNTS: Lane(places, queue, company),
        LaneName.CHAT: Lane(places, queue, company),
        LaneName.EXPORTS: Lane(settings.request_exports, 0, company),
        LaneName.LOGINS: Lane(at_work, logins - at_work, company, rest=0),
    }
