"""Every request passes this gate between its route and its handler.

In this order: the rate of its token; a small body is read; a token that was never seen here is
looked up, and only then a large body is read; a place in the route's lane is taken; the token is
looked up, unless that was just done; the handler runs. A slow sender holds no place.

A route names in its `opt` the lane it takes. Public routes that name none (health, metrics, the
explorer) go past the gate. Their answers, and those to requests that are refused before they have a
place, are spread over time for each address.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from app.config.settings import Settings
from app.databases.causes import describe
from app.edge.bodies import SMALL_BYTES, Body, BodyMemory
from app.edge.lanes import Caller, Lane, LaneName, lanes_of
from app.edge.limits import Pacing, remember, token_limits
from app.edge.refusals import problem_of
from app.http.addresses import network
from app.http.errors import BadRequest, PayloadTooLarge, Problem, RequestTimeout
from app.http.problems import asgi_messages
from app.http.security import Credential, Principal, credential_of
from app.telemetry import log

if TYPE_CHECKING:
    from litestar.handlers import BaseRouteHandler
    from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

LookUp = Callable[[Credential], Awaitable[Principal]]
FRESH_SECONDS = 1.0  # when a body took longer to arrive, its token is looked up again
LONGEST_LENGTH = 18  # digits
STRANGERS = "strangers"  # share what a tenant has, until they are known
PLACED = "bicameral_placed"  # in the scope of a request that had a place when its work began


class Rule(NamedTuple):
    """A route's demands on its requests. Without a lane they go past the gate."""

    lane: Lane | None
    needs_token: bool
    max_body_bytes: int


class Gate:
    """`look_up` finds a token's principal in one round trip, or raises Unauthenticated."""

    def __init__(self, settings: Settings, look_up: LookUp) -> None:
        self.stopping = asyncio.Event()
        self.look_up = look_up
        self.limits = token_limits(settings)
        self.memory = BodyMemory(settings)
        self.pacing = Pacing()
        self.timeout_seconds = settings.request_timeout_seconds
        self.known: OrderedDict[int, Caller] = OrderedDict()  # by hashes of what they came with
        self._lanes = lanes_of(settings)
        self._max_body_bytes = settings.request_max_body_bytes
        self._small_bytes = min(SMALL_BYTES, self._max_body_bytes)
        self._rules: dict[BaseRouteHandler, Rule] = {}

    def around(self, app: ASGIApp) -> ASGIApp:
        """A middleware, as Litestar puts one around each handler."""

        # No coroutine of its own, which each step of the request would pass through.
        def gated(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            handler = scope["route_handler"]
            rule = self._rules.get(handler) or self._rule(handler)
            if rule.lane is None:
                return app(scope, receive, send)
            return Passage(self, rule, rule.lane, app, scope, send).attempt(receive)

        return gated

    def pause_seconds(self, scope: Scope) -> float:
        """Return how long the answer is to wait, so that others are served meanwhile."""
        return 0.0 if PLACED in scope else self.pacing.pause_seconds(_address(scope))

    def _rule(self, handler: BaseRouteHandler) -> Rule:
        needs_token = bool(cast("Any", handler).resolve_guards())
        name = handler.opt.get("lane", LaneName.ACCOUNTS if needs_token else None)
        max_body_bytes = self._max_body_bytes if needs_token else self._small_bytes
        rule = Rule(name and self._lanes[name], needs_token, max_body_bytes)
        self._rules[handler] = rule
        return rule


class Passage:
    """One request's way, from its head to its answer's first byte, which `attempt` sees to."""

    def __init__(
        self, gate: Gate, rule: Rule, lane: Lane, app: ASGIApp, scope: Scope, send: Send
    ) -> None:
        self._gate, self._rule, self._lane = gate, rule, lane
        self._app, self._scope, self._send = app, scope, send
        self._has_begun = False
        self._credential: Credential | None = None
        self._principal: Principal | None = None
        self._known: Caller | None = None

    async def attempt(self, receive: Receive) -> None:
        """Answer the request, whatever becomes of it on the way."""
        try:
            headers = self._scope["headers"]
            if self._rule.needs_token:
                self._recognise(credential_of(headers))
            size = declared_bytes(dict(headers))
            await (self._work(receive) if size is None else self._read_and_work(receive, size))
        except BaseException as error:
            problem = None if self._has_begun else self._problem_of(error)
            if problem is None:
                if self._has_begun and isinstance(error, Exception):
                    log.error("answer_broken_off", **describe(error))
                raise
            for message in asgi_messages(problem):
                await self._send(message)

    def _problem_of(self, error: BaseException) -> Problem | None:
        method = cast("HTTPScope", self._scope)["method"]
        return problem_of(error, method, is_stopping=self._gate.stopping.is_set())

    async def _read_and_work(self, receive: Receive, declared: int) -> None:
        """Nearly every body is small, and here as a whole: it takes a single message."""
        self._lane.check(self._caller)  # no body is read for who will be refused
        memory, most = self._gate.memory, self._rule.max_body_bytes
        if declared > most:
            raise PayloadTooLarge  # before the client is told to go on (Expect: 100-continue)
        deadline = asyncio.get_running_loop().time() + memory.receive_seconds
        first = await _received(receive, deadline) if declared <= SMALL_BYTES else None
        if first and not first.get("more_body") and len(first.get("body", b"")) <= most:
            await self._work(_beginning_with(first, receive))
        else:
            await self._read_parts_and_work(Body(memory, receive, most, deadline), first)

    async def _read_parts_and_work(self, body: Body, first: Any) -> None:
        try:
            if first is not None:
                await body.begin(first)
            if not body.is_whole:
                await self._identify()
                await body.finish(self._caller)
            await self._work(body.receive)
        finally:
            body.forget()

    def _recognise(self, credential: Credential) -> None:
        if self._gate.limits is not None:
            self._gate.limits.check(credential.token)
        self._credential = credential
        self._known = self._gate.known.get(hash(credential))

    @property
    def _caller(self) -> Caller:
        if self._known is not None:
            return self._known
        address = _address(self._scope)
        return Caller(address, STRANGERS if self._credential else address)

    async def _identify(self) -> None:
        """Looks the token up in a place of its own, given back before anything is waited for."""
        async with asyncio.timeout(self._gate.timeout_seconds), self._lane.place(self._caller):
            await self._look_up()

    async def _look_up(self) -> None:
        if self._credential is None:
            return
        self._principal = principal = await self._gate.look_up(self._credential)
        self._scope["user"] = principal
        if self._known is None:
            self._known = Caller(principal.user_id, principal.tenant_id)
            remember(self._gate.known, hash(self._credential), self._known)

    async def _work(self, receive: Receive) -> None:
        """The deadline cancels the work; its session then gives a clean connection back."""
        if self._credential and self._known is None:
            await self._identify()
        caller = self._caller
        async with asyncio.timeout(self._gate.timeout_seconds) as self._deadline:
            # `place` would do the same, with two coroutines more.
            if not self._lane.has_entered(caller):
                await self._lane.wait(caller)
            entered_at = time.monotonic()
            try:
                if not self._is_fresh():
                    await self._look_up()
                cast("dict[str, Any]", self._scope)[PLACED] = True
                await self._app(self._scope, receive, self._answer)
            finally:
                self._lane.leave_after(time.monotonic() - entered_at, caller)

    def _is_fresh(self) -> bool:
        principal = self._principal
        return principal is not None and time.monotonic() - principal.looked_up_at < FRESH_SECONDS

    async def _answer(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._has_begun = True
            self._deadline.reschedule(None)  # a stream takes as long as its reader goes on reading
        await self._send(message)


def _address(scope: Scope) -> str:
    client = scope["client"]
    return network(client[0]) if client else ""


async def _received(receive: Receive, deadline: float) -> Any:
    """Raises RequestTimeout."""
    try:
        async with asyncio.timeout_at(deadline):
            return await receive()
    except TimeoutError:
        raise RequestTimeout from None


def _beginning_with(first: Any, receive: Receive) -> Receive:
    """Make a `receive` that hands on what was read already, and then reads."""

    async def again() -> Any:
        nonlocal first
        message, first = first, None
        return message or await receive()

    return again


def declared_bytes(headers: Mapping[bytes, bytes]) -> int | None:
    """Return None without a body, and 0 for one that comes in chunks. Raises BadRequest."""
    length = headers.get(b"content-length", b"0")
    if length == b"0":
        return 0 if b"transfer-encoding" in headers else None
    if not length.isdigit() or len(length) > LONGEST_LENGTH:
        raise BadRequest("The header Content-Length is not the length of a body.")
    return int(length)
