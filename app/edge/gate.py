"""Every request passes this gate between its route and its handler; passage.py shows the way.

A route names in its `opt` the lane it takes. Public routes that name none (health, metrics, the
explorer) go past the gate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from app.config.settings import Settings
from app.edge.bodies import SMALL_BYTES, BodyMemory
from app.edge.lanes import Caller, Company, Lane, LaneName
from app.edge.limits import Pacing, token_limits
from app.edge.passage import Passage
from app.edge.recent import Recent
from app.http.security import Credential, Principal

if TYPE_CHECKING:
    from litestar.handlers import BaseRouteHandler
    from litestar.types import ASGIApp, Receive, Scope, Send

LookUp = Callable[[Credential], Awaitable[Principal]]


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
        self.lanes = _lanes(settings)
        self.limits = token_limits(settings)
        self.memory = BodyMemory(settings)
        self.pacing = Pacing()
        self.timeout_seconds = settings.request_timeout_seconds
        self.known: Recent[Caller] = Recent()  # by the hashes of what they came with
        self._max_body_bytes = settings.request_max_body_bytes
        self._rules: dict[BaseRouteHandler, Rule] = {}

    def stop(self) -> None:
        """Have each answer from now on ask its client to connect anew; answers.py adds that."""
        self.stopping.set()

    def around(self, app: ASGIApp) -> ASGIApp:
        """A middleware, as Litestar puts one around each handler."""

        async def gated(scope: Scope, receive: Receive, send: Send) -> None:
            handler = scope["route_handler"]
            rule = self._rules.get(handler) or self._rule(handler)
            if rule.lane is None:
                await app(scope, receive, send)
            else:
                await Passage(self, rule, rule.lane, app, scope, send).attempt(receive)

        return gated

    def _rule(self, handler: BaseRouteHandler) -> Rule:
        needs_token = bool(cast("Any", handler).resolve_guards())
        name = handler.opt.get("lane", LaneName.ACCOUNTS if needs_token else None)
        max_body_bytes = self._max_body_bytes if needs_token else SMALL_BYTES
        rule = Rule(name and self.lanes[name], needs_token, max_body_bytes)
        self._rules[handler] = rule
        return rule


def _lanes(settings: Settings) -> dict[LaneName, Lane]:
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
        LaneName.EXPORTS: Lane(settings.request_exports, 0),
        LaneName.LOGINS: Lane(at_work, logins - at_work),
    }
