"""One client of all replicas: each request goes to any of them, and what came of it is noted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import httpx

from app.http.idempotency import HEADER
from tests.support.soak.replicas import NO_TLS
from tests.support.soak.tally import Moment, Tally, route_of

ANSWER_SECONDS = 20.0  # a client's patience, longer than the service takes for anything
IDLE_SECONDS = 2.0  # shorter than the service's own, so that no request meets a closing connection
PAUSE_SECONDS = 0.3  # before the next try
LONGEST_PAUSE_SECONDS = 5.0
LEAVES = 0.02  # of all requests so many are given up by their client, after a moment
LEAVES_SECONDS = 0.02
DONE = (200, 201, 202, 204)
AGAIN = (429, 503)
RUNNING = "is still running"

KINDS: dict[type[httpx.TransportError], str] = {
    httpx.ConnectError: "refused",
    httpx.ReadError: "reset",
    httpx.WriteError: "reset",
    httpx.RemoteProtocolError: "closed",
    httpx.ConnectTimeout: "timeout",
    httpx.ReadTimeout: "timeout",
    httpx.WriteTimeout: "timeout",
    httpx.PoolTimeout: "timeout",
}


class Gone(Exception):  # noqa: N818  no error: they know why
    """Whoever asks, or what they ask for, is no more."""


class SurpriseError(Exception):
    """An answer that nothing explains."""


class Left(httpx.TransportError):
    """The client itself went away."""


class Caller:
    def __init__(self, addresses: Sequence[str], tally: Tally, chance: Random) -> None:
        self.tally = tally
        self.chance = chance
        self.leaves = LEAVES
        self.gone: frozenset[int] = frozenset()  # what is answered to somebody who is no more
        limits = httpx.Limits(keepalive_expiry=IDLE_SECONDS)
        self._clients = [
            httpx.AsyncClient(base_url=one, timeout=ANSWER_SECONDS, limits=limits, verify=NO_TLS)
            for one in addresses
        ]
        self.authorization = ""  # the header's value

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()

    async def request(self, method: str, path: str, **what: Any) -> httpx.Response:
        """Raises TransportError where nobody knows what became of it, Gone, SurpriseError."""
        began = self.tally.weather.now()
        what["headers"] = {"Authorization": self.authorization, **what.get("headers", {})}
        client = self.chance.choice(self._clients)
        try:
            answer = await self._sent(client, method, path, what)
        except httpx.TransportError as error:
            self.tally.missed(KINDS.get(type(error), type(error).__name__.lower()), began)
            raise
        self._noted(answer, route_of(method, path), began)
        return answer

    async def _sent(
        self, client: httpx.AsyncClient, method: str, path: str, what: dict[str, Any]
    ) -> httpx.Response:
        if self.chance.random() > self.leaves:
            return await client.request(method, path, **what)
        try:
            async with asyncio.timeout(self.chance.random() * LEAVES_SECONDS):
                return await client.request(method, path, **what)
        except TimeoutError:
            raise Left("left") from None

    def _noted(self, answer: httpx.Response, route: str, began: Moment) -> None:
        status = answer.status_code
        self.tally.answered(route, status, began)
        if status in self.gone:
            raise Gone
        if status == 503:
            self.tally.refused(answer.headers.get("x-request-id", ""), began)
        if status in AGAIN and int(answer.headers.get("retry-after", 0)) < 1:
            self.tally.surprised(f"{route}: {status} without Retry-After")
        if status not in (*DONE, *AGAIN) and not is_running(answer):
            request_id = answer.headers.get("x-request-id")
            self.tally.surprised(f"{route}: {status} {answer.text} [{request_id}]")
            raise SurpriseError(f"{route}: {status}")

    async def known(
        self, method: str, path: str, key: str | None = None, **what: Any
    ) -> httpx.Response:
        """Again and again, until it is known what came of it. A POST that creates needs a key."""
        headers = {HEADER: key} if key else {}
        while True:
            answer = await self.once(method, path, headers=headers, **what)
            if answer is not None:
                return answer
            await asyncio.sleep(PAUSE_SECONDS)

    async def once(self, method: str, path: str, **what: Any) -> httpx.Response | None:
        """None: nobody knows what came of it."""
        try:
            answer = await self.request(method, path, **what)
        except httpx.TransportError:
            return None
        if answer.status_code in DONE:
            return answer
        wait = float(answer.headers.get("retry-after", 0)) if answer.status_code == 429 else 0.0
        await asyncio.sleep(min(wait, LONGEST_PAUSE_SECONDS))
        return None

    async def is_refused(self, path: str) -> bool:
        """Expect 401 for this token from now on."""
        before, self.gone = self.gone, frozenset({401})
        try:
            await self.known("GET", path)
        except Gone:
            return True
        finally:
            self.gone = before
        return False


def is_running(answer: httpx.Response) -> bool:
    """The first request with this key."""
    return answer.status_code == 409 and RUNNING in answer.text
