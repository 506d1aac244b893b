"""One request's way through the gate, from its head to the first byte of its answer.

In this order: the rate of its token; a small body is read; a token that was never seen here is
looked up, and only then a large body is read; a place in the route's lane is taken; the token is
looked up, unless that was just done; the handler runs. A slow sender holds no place.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from app.databases.causes import describe
from app.edge.bodies import Body, declared_bytes
from app.edge.lanes import Caller, Lane, SaturatedError
from app.http.addresses import network
from app.http.errors import Problem, Unavailable
from app.http.problems import asgi_messages
from app.http.security import Credential, credential_of
from app.telemetry import log

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Message, Receive, Scope, Send

    from app.edge.gate import Gate, Rule
    from app.http.security import Principal

TOO_LONG = "The request took too long and was given up; try again."
STOPPING = "The service stops, and this request took too long for it; try again."
FRESH_SECONDS = 1.0  # when a body took longer to arrive, its token is looked up again
STRANGERS = "strangers"  # share what a tenant has, until they are known


class Passage:
    """`attempt` answers the request, whatever becomes of it on the way."""

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
        try:
            await self._admit(receive)
        except SaturatedError as problem:
            await asyncio.sleep(self._gate.pacing.pause_seconds())
            await self._refuse(problem)
        except Problem as problem:
            await self._refuse(problem)
        except (TimeoutError, asyncio.CancelledError) as error:
            is_late = isinstance(error, TimeoutError)
            if self._has_begun or not (is_late or self._gate.stopping.is_set()):
                raise
            await self._refuse(Unavailable(TOO_LONG if is_late else STOPPING))
        except Exception as error:
            if self._has_begun:
                log.error("answer_broken_off", **describe(error))
            raise

    async def _admit(self, receive: Receive) -> None:
        headers = self._scope["headers"]
        if self._rule.needs_token:
            self._recognise(credential_of(headers))
        self._lane.check(self._caller)  # a body need not be read for that
        declared = declared_bytes(headers)
        if declared is None:
            await self._work(receive)
            return
        body = Body(self._gate.memory, receive, self._rule.max_body_bytes)
        try:
            await body.begin(declared)
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
        client = self._scope["client"]
        address = network(client[0]) if client else ""
        return Caller(address, STRANGERS if self._credential else address)

    async def _identify(self) -> None:
        """Looks the token up in a place of its own, given back before anything is waited for."""
        async with asyncio.timeout(self._gate.timeout_seconds):
            async with self._lane.place(self._caller):
                await self._look_up()

    async def _look_up(self) -> None:
        if self._credential is None:
            return
        self._principal = principal = await self._gate.look_up(self._credential)
        self._scope["user"] = principal
        if self._known is None:
            self._known = Caller(principal.user_id, principal.tenant_id)
            self._gate.known.put(hash(self._credential), self._known)

    async def _work(self, receive: Receive) -> None:
        """The deadline cancels the work; its session then gives a clean connection back."""
        if self._credential and self._known is None:
            await self._identify()
        async with asyncio.timeout(self._gate.timeout_seconds) as self._timeout:
            async with self._lane.place(self._caller):
                if self._credential and not self._is_fresh():
                    await self._look_up()
                await self._app(self._scope, receive, self._answer)

    def _is_fresh(self) -> bool:
        principal = self._principal
        return principal is not None and time.monotonic() - principal.looked_up_at < FRESH_SECONDS

    async def _answer(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._has_begun = True
            # A stream takes as long as its reader goes on reading.
            self._timeout.reschedule(None)
        await self._send(message)

    async def _refuse(self, problem: Problem) -> None:
        for message in asgi_messages(problem):
            await self._send(message)
