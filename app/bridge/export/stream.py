"""A streamed answer that is broken off when its reader may not have it any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from litestar import Request
from litestar.response import Stream
from litestar.types import ASGIApp, Receive, Scope, Send

Watch = Callable[[], Awaitable[None]]


class WatchedStream(Stream):
    """Streams for as long as `watch` runs. What it raises breaks the answer off, even while a slow
    reader is waited for.
    """

    def __init__(self, content: AsyncGenerator[bytes], *, watch: Watch, media_type: str) -> None:
        super().__init__(content, media_type=media_type)
        self._watch = watch

    def to_asgi_response(  # type: ignore[override]  # Litestar only calls what it gets
        self, app: Any, request: Request[Any, Any, Any], **options: Any
    ) -> ASGIApp:
        answer = super().to_asgi_response(app, request, **options)  # pyright: ignore[reportUnknownMemberType]  # their Request has no parameters
        return _watched(answer, self._watch)


def _watched(answer: ASGIApp, watch: Watch) -> ASGIApp:
    async def answer_while_watched(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(_run(watch))
                await answer(scope, receive, send)
                watching.cancel()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    return answer_while_watched


async def _run(watch: Watch) -> None:
    await watch()
