"""The gate before the application: who comes in, how many at a time, and for how long.

A request's body is read before it takes a place, so that a slow sender holds none. Places are
counted apart for what needs the general database, for exports, for logins, and for the rest: a
database that hangs, or a crowd that logs in, fills one lane and not the others. Health and metrics
go past the gate.
"""

from __future__ import annotations

import asyncio
import time
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from app.config.settings import Settings
from app.databases.causes import describe
from app.databases.waits import Wait, Waits
from app.edge.bodies import Body, BodyMemory
from app.edge.limits import TokenLimits
from app.http.errors import BadRequest, Problem, TooManyRequests, Unavailable
from app.http.problems import asgi_messages
from app.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Iterable

    from litestar.types import ASGIApp, Message, Receive, Scope, Send

UNGATED = ("/health", "/metrics")
LOGIN = "/v1/auth/login"
# A refusal is answered at once, and who does not heed its Retry-After would come back at once. So
# many a second are listened to again, for the time of the others belongs to those who got in.
RETURNS_PER_SECOND = 1000
LONGEST_PAUSE_SECONDS = 0.25
PAUSE = "pause_seconds"  # in the scope's state: for protocol.py, which does not read for so long
TOO_LONG = "The request took too long and was given up; try again."
STOPPING = "The service stops, and this request took too long for it; try again."
LONGEST_LENGTH = 18  # digits
CLOSE = (b"connection", b"close")


class SaturatedError(Unavailable):
    """The service is saturated; try again."""


class Lane:
    """So many requests at a time, and so many more that wait for a place."""

    def __init__(self, places: int, queue: int) -> None:
        self._places = asyncio.Semaphore(places)
        self._queue = queue
        self._queued = 0

    def check(self) -> None:
        """Raises SaturatedError when the queue is full."""
        if self._places.locked() and self._queued >= self._queue:
            raise SaturatedError

    async def __aenter__(self) -> None:
        self.check()
        self._queued += 1
        try:
            await self._places.acquire()
        finally:
            self._queued -= 1

    async def __aexit__(self, *_: object) -> None:
        self._places.release()


class Head(NamedTuple):
    """What the gate needs of a request's headers."""

    authorization: bytes
    body_bytes: int | None  # None: no body; 0: unknown, it comes in chunks


class Answer:
    """The way back: what has been sent, and until when it must have begun."""

    __slots__ = ("_gate", "_send", "has_begun", "wait")

    def __init__(self, gate: Gate, send: Send) -> None:
        self._gate = gate
        self._send = send
        self.wait = Wait(gate.working)
        self.has_begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            self.wait.forget()  # a stream takes as long as its reader goes on reading
            if self._gate.is_stopping:
                message["headers"] = [*message["headers"], CLOSE]
        await self._send(message)

    async def refuse(self, problem: Problem) -> None:
        for message in asgi_messages(problem):
            await self._send(message)


class RetryPacing:
    """When those who were refused are listened to again: one after the other."""

    def __init__(self) -> None:
        self._last = 0.0

    def pause_seconds(self) -> float:
        now = time.monotonic()
        self._last = max(self._last, now) + 1 / RETURNS_PER_SECOND
        self._last = min(self._last, now + LONGEST_PAUSE_SECONDS)
        return self._last - now


class Gate:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.is_stopping = False
        self._returns = RetryPacing()
        self.working = Waits(settings.request_timeout_seconds)
        self._app = app
        self._memory = BodyMemory(settings)
        self._limits = _limits(settings)
        places, queue = settings.request_concurrency, settings.request_queue
        self._user, self._general = Lane(places, queue), Lane(places, queue)
        self._exports = Lane(settings.request_exports, 0)
        self._logins = Lane(settings.password_hash_threads + settings.password_hash_queue, 0)

    def stop(self) -> None:
        """From now on each answer asks its client to connect anew, elsewhere."""
        self.is_stopping = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(UNGATED):
            await self._app(scope, receive, send)
            return
        answer = Answer(self, send)
        try:
            await self._admit(scope, receive, answer)
        except SaturatedError as problem:
            await answer.refuse(problem)
            scope.setdefault("state", {})[PAUSE] = self._returns.pause_seconds()
        except Problem as problem:
            await answer.refuse(problem)
        except asyncio.CancelledError:
            if not self.is_stopping or answer.has_begun:
                raise
            await answer.refuse(Unavailable(STOPPING))
        except Exception as error:  # an answer that had begun: all that can be done is to break off
            log.error("answer_broken_off", **describe(error))
            raise

    async def _admit(self, scope: Scope, receive: Receive, answer: Answer) -> None:
        lane = self._lane(scope["path"])
        lane.check()  # a body need not be read for that
        head = _head(scope["headers"])
        self._check_rate(head.authorization)
        if head.body_bytes is None:
            await self._pass(lane, scope, receive, answer)
            return
        body = Body(self._memory, receive)
        try:
            await body.read(head.body_bytes)
            await self._pass(lane, scope, body.receive, answer)
        finally:
            body.forget()

    def _check_rate(self, authorization: bytes) -> None:
        if self._limits is None or not authorization:
            return
        if wait := self._limits.wait_seconds(authorization):
            raise TooManyRequests(
                "This token makes more requests than it may; wait as Retry-After says.",
                retry_after_seconds=ceil(wait),
            )

    async def _pass(self, lane: Lane, scope: Scope, receive: Receive, answer: Answer) -> None:
        """The deadline cancels the work; its session then gives a clean connection back."""
        try:
            with answer.wait:
                async with lane:
                    await self._app(scope, receive, answer.send)
        except TimeoutError:
            if answer.has_begun:
                raise
            raise Unavailable(TOO_LONG) from None

    def _lane(self, path: str) -> Lane:
        if path.endswith("/export"):
            return self._exports
        if path == LOGIN:
            return self._logins
        return self._general if path.startswith("/v1/chat-sessions") else self._user


def _limits(settings: Settings) -> TokenLimits | None:
    if not settings.request_rate_per_token:
        return None
    return TokenLimits(
        per_second=settings.request_rate_per_token, burst=settings.request_burst_per_token
    )


def _head(headers: Iterable[tuple[bytes, bytes]]) -> Head:
    authorization, body_bytes = b"", None
    for name, value in headers:
        if name == b"authorization":
            authorization = value
        elif name == b"transfer-encoding":
            body_bytes = body_bytes or 0
        elif name == b"content-length" and value != b"0":
            body_bytes = _length(value)
    return Head(authorization, body_bytes)


def _length(value: bytes) -> int:
    if not value.isdigit() or len(value) > LONGEST_LENGTH:
        raise BadRequest("The header Content-Length is not the length of a body.")
    return int(value)
