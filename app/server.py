"""The application: wiring only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import msgspec
from litestar import Litestar, Request, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.plugins import PluginProtocol
from litestar.routes import HTTPRoute
from litestar.types import HTTPResponseStartEvent, Scope

from app.accounts.api.auth import AuthController
from app.accounts.api.me import MeController
from app.accounts.api.tenants import TenantController
from app.accounts.api.users import UserController
from app.accounts.passwords import Passwords
from app.accounts.tokens import TokenLookup
from app.bridge.erasure.api import ErasureController
from app.bridge.erasure.relay import running
from app.bridge.export.api import ExportController
from app.chat.api import ChatSessionController
from app.config.settings import Settings
from app.databases.database import Databases
from app.edge.draining import delayed_stop
from app.edge.gate import Gate
from app.http import headers
from app.http.cors import cors_config, explain_refusals
from app.http.errors import UnsupportedMediaType
from app.http.logs_plugin import logs_plugin
from app.http.openapi import complete, openapi_config
from app.http.problems import problem_response
from app.operations.health import HealthController
from app.operations.metrics import on_the_services_port, on_their_own_port
from app.telemetry.pools import watching
from app.telemetry.requests import observe_requests
from app.telemetry.traces import close_traces, configure_traces


class JsonRequest(Request[Any, Any, Any]):
    """Decodes a body straight into the handler's struct, strictly: `"1"` is no number."""

    async def json(self) -> Any:
        field = self.route_handler.parsed_data_field
        if field is None:
            return await super().json()
        return msgspec.json.decode(await self.body(), type=field.annotation)


async def refuse_other_media(request: Request[Any, Any, Any]) -> None:
    """Litestar would take any body for JSON whatever its Content-Type says."""
    if request.route_handler.parsed_data_field is None:
        return
    has_body = request.headers.get("content-length", "0") != "0"
    has_body = has_body or "transfer-encoding" in request.headers
    if has_body:
        media, _ = request.content_type
        if media != "application/json":
            raise UnsupportedMediaType


def set_headers(settings: Settings) -> Callable[[HTTPResponseStartEvent, Scope], None]:
    service = headers.of_service(settings)

    def finish(message: HTTPResponseStartEvent, scope: Scope) -> None:
        own = headers.for_path(scope["path"], service, list(message["headers"]))
        if _lists_methods(message, scope):
            own = [(name, value) for name, value in own if name != b"allow"]
            own.append((b"allow", _methods(scope)))
        message["headers"] = own

    return finish


def _lists_methods(message: HTTPResponseStartEvent, scope: Scope) -> bool:
    """Litestar's own OPTIONS names the methods of one handler, not of the path."""
    return (
        scope["type"] == "http"
        and scope["method"] == "OPTIONS"
        and message["status"] == HTTPStatus.NO_CONTENT
        and "path_template" in scope  # there is none in a preflight's answer
    )


def _methods(scope: Scope) -> bytes:
    template = scope["path_template"]
    routes = [route for route in scope["litestar_app"].routes if isinstance(route, HTTPRoute)]
    methods = {m for route in routes if route.path_format == template for m in route.methods}
    return ", ".join(sorted(methods)).encode()


def create_app(settings: Settings, plugins: Sequence[PluginProtocol] = ()) -> Litestar:
    """The service on these settings. Nothing connects before the first request or the start."""
    configure_traces()
    databases = Databases.create(settings)
    passwords = Passwords(settings)
    gate = Gate(settings, TokenLookup(databases.user, settings).principal)
    app = Litestar(
        route_handlers=[
            _v1(databases, passwords),
            HealthController,
            *on_the_services_port(settings),
        ],
        state=State(
            {
                "settings": settings,
                "databases": databases,
                "passwords": passwords,
                "gate": gate,
            }
        ),
        plugins=[logs_plugin(), *plugins],
        lifespan=[_lifespan(settings, databases, passwords)],
        exception_handlers={Exception: problem_response},
        before_request=refuse_other_media,
        middleware=[gate.around],
        cors_config=cors_config(settings),
        request_class=JsonRequest,
        request_max_body_size=settings.request_max_body_bytes,
        openapi_config=openapi_config(version("bicameral")),
    )
    complete(app)
    handler = explain_refusals(app.asgi_handler) if app.cors_config else app.asgi_handler
    # Not as a hook of Litestar's, which would cost each message of each answer another coroutine.
    app.asgi_handler = observe_requests(handler, set_headers(settings))
    return app


def _v1(databases: Databases, passwords: Passwords) -> Router:
    return Router(
        "/v1",
        route_handlers=[
            AuthController,
            MeController,
            TenantController,
            UserController,
            ChatSessionController,
            ErasureController,
            ExportController,
        ],
        dependencies={
            **databases.dependencies(),
            "passwords": Provide(lambda: passwords, sync_to_thread=False),
        },
    )


def _lifespan(settings: Settings, databases: Databases, passwords: Passwords) -> Any:
    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncGenerator[None]:
        await databases.check()
        try:
            with delayed_stop(app.state.gate.stop, settings.request_drain_seconds):
                async with (
                    watching("service", databases.usages),
                    on_their_own_port(settings, databases),
                    running(settings) if settings.relay else nullcontext(),
                ):
                    yield
        finally:
            passwords.close()
            await asyncio.to_thread(close_traces)
            await databases.dispose()

    return lifespan
