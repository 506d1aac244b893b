"""A request whose transaction PostgreSQL gave up for another's sake is done again, as a whole.

A deadlock's victim (40P01) or a serialization failure (40001) has been rolled back, and may simply
run again. So may its request, as long as its answer has not begun.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from app.http.problems import IS_GIVEN_UP

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Message, Receive, Scope, Send

ATTEMPTS = 3


async def attempt(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, rewind: Callable[[], None]
) -> None:
    """So many times at most: the last answer goes out whatever it says.

    `rewind`: from then on `receive` gives the body once more.
    """
    seen = cast("dict[str, Any]", scope)
    pristine = {**seen, "state": dict(seen.setdefault("state", {}))}
    for _ in range(ATTEMPTS - 1):
        trial = _Trial(seen["state"], send)
        await app(scope, receive, trial.send)
        if not trial.is_withheld:
            return
        seen.clear()
        seen.update({**pristine, "state": dict(pristine["state"])})
        rewind()
    await app(scope, receive, send)


class _Trial:
    """Withholds the answer of an attempt that was given up."""

    __slots__ = ("_send", "_state", "is_withheld")

    def __init__(self, state: dict[str, Any], send: Send) -> None:
        self._state = state
        self._send = send
        self.is_withheld = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.is_withheld = IS_GIVEN_UP in self._state
        if not self.is_withheld:
            await self._send(message)
