"""The application: wiring only."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import msgspec
from advanced_alchemy.extensions.litestar import SQLAlchemyInitPlugin
from litestar import Litestar, Request, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.plugins import PluginProtocol

from app.accounts.api import TenantController, UserController
from app.accounts.auth import Authenticator, authenticate
from app.accounts.me import AuthController, MeController
from app.chat.api import ChatSessionController
from app.db import Databases
from app.errors import UnsupportedMediaType, problem_response
from app.health import HealthController
from app.openapi import complete, openapi_config
from app.security import Passwords
from app.settings import Settings
from app.telemetry import configure_logs, log_requests


class JsonRequest(Request[Any, Any, Any]):
    """Decodes a body straight into the handler's struct, strictly: `"1"` is no number."""

    async def json(self) -> Any:
        field = self.route_handler.parsed_data_field
        if field is None:
            return await super().json()
        return msgspec.json.decode(await self.body(), type=field.annotation)


async def refuse_other_media(request: Request[Any, Any, Any]) -> None:
    """Litestar would take any body for JSON whatever its Content-Type says."""
    has_body = request.headers.get("content-length", "0") != "0"
    has_body = has_body or "transfer-encoding" in request.headers
    if has_body and request.route_handler.parsed_data_field is not None:
        media, _ = request.content_type
        if media != "application/json":
            raise UnsupportedMediaType


def create_app(settings: Settings, plugins: Sequence[PluginProtocol] = ()) -> Litestar:
    """The service on these settings. Nothing connects before the first request or the start."""
    configure_logs()
    databases = Databases.create(settings)
    passwords = Passwords(settings)
    authenticator = Authenticator(databases, passwords, settings)
    app = Litestar(
        route_handlers=[_v1(databases, passwords, authenticator), HealthController],
        state=State({"settings": settings, "databases": databases, "passwords": passwords}),
        plugins=[
            SQLAlchemyInitPlugin([databases.user.config, databases.general.config]),
            *plugins,
        ],
        lifespan=[_lifespan(databases, passwords)],
        middleware=[log_requests],
        exception_handlers={Exception: problem_response},
        before_request=refuse_other_media,
        request_class=JsonRequest,
        request_max_body_size=settings.request_max_body_bytes,
        openapi_config=openapi_config(version("bicameral")),
        logging_config=None,
    )
    complete(app.openapi_schema)
    return app


def _v1(databases: Databases, passwords: Passwords, authenticator: Authenticator) -> Router:
    return Router(
        "/v1",
        route_handlers=[
            AuthController,
            MeController,
            TenantController,
            UserController,
            ChatSessionController,
        ],
        guards=[authenticate],
        dependencies={
            **databases.dependencies(),
            "passwords": Provide(lambda: passwords, sync_to_thread=False),
            "auth": Provide(lambda: authenticator, sync_to_thread=False),
        },
    )


def _lifespan(databases: Databases, passwords: Passwords) -> Any:
    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncGenerator[None]:
        await databases.check()
        try:
            yield
        finally:
            passwords.close()

    return lifespan
