"""A gate before an application of a test's own, which stands for the handler of one route."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from litestar import get

from app.config.settings import Settings
from app.edge.gate import Gate, LookUp
from app.edge.lanes import LaneName
from app.http.errors import Unauthenticated
from app.http.security import Credential, Principal, signed_in


async def nobody(_: Credential) -> Principal:
    raise Unauthenticated


def principal(tenant_id: UUID | None = None) -> Principal:
    return Principal(uuid4(), tenant_id or uuid4(), "\\acme\\somebody", frozenset())


def gated(app: Any, look_up: LookUp = nobody, *, needs_token: bool = False, **more: object) -> Any:
    """Put a gate before the application. `more` are settings."""
    settings = Settings.model_validate({"request_concurrency": 1, **more})
    inner = Gate(settings, look_up).around(app)
    guards = [signed_in] if needs_token else []
    opt = {"lane": LaneName.CHAT}
    handler = get("/", opt=opt, guards=guards, sync_to_thread=False)(lambda: None)

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        scope["route_handler"] = handler
        await inner(scope, receive, send)

    return asgi
